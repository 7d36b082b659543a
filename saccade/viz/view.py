"""What a picture of a trace needs to know, wherever the trace comes from: a live `Trace` or a stored row of answers.

A row of `DIR/answers/*.parquet`, as `Table.to_pylist()` gives it (other columns are ignored):

    {"question": "What is the invoice number?", "answer": "INV-2041", "confidence": 0.93, "score": 1.0, "error": None,
     "grid": {"rows": 64, "cols": 48, "width_px": 768, "height_px": 1024},
     "fixations": [{"gaze_x": 0.62, "gaze_y": 0.18, "reason": "residual query 0.81", "tokens": 273,
                    "kept": [17, 18, 81, ...], "answer": "INV-2041", "confidence": 0.93}]}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from saccade.annotation.evidence import Box, box_uv
from saccade.errors import DataError
from saccade.types import Grid, Trace


@dataclass(frozen=True, slots=True)
class Look:
    """One fixation. `kept` are canvas cells, row * cols + col."""

    gaze_uv: tuple[float, float]
    reason: str
    num_tok: int
    kept: tuple[int, ...]
    answer: str  # empty: it could not be read
    confidence: float

    @property
    def aimed(self) -> bool:
        """Whether a planner chose the gaze; a view or a blind sampler looks nowhere in particular."""
        return not self.reason.startswith(("view:", "blind:"))


@dataclass(frozen=True, slots=True)
class TraceView:
    """One answered question, as it is drawn and printed."""

    question: str
    answer: str  # empty: it could not be read
    confidence: float
    looks: tuple[Look, ...]
    rows: int
    cols: int
    score: float | None = None  # None: not scored
    evidence_uv: Box | None = None  # where the answer was read; None: nothing was, or nobody knows

    @classmethod
    def from_trace(cls, trace: Trace, grid: Grid, score: float | None = None) -> Self:
        """From a live trace and the grid of the encoding that its selections index."""
        cells = (grid.row * grid.cols + grid.col).tolist()
        looks = tuple(
            Look(
                gaze_uv=step.gaze.uv,
                reason=step.gaze.reason,
                num_tok=len(step.selection),
                kept=tuple(cells[index] for index in step.selection.index.tolist()),
                answer=step.answer.text,
                confidence=step.answer.confidence,
            )
            for step in trace.steps
        )
        attended = [{"cell": cell, "share": share} for cell, share in trace.answer.attended]
        view = cls(trace.question, trace.answer.text, trace.answer.confidence, looks, grid.rows, grid.cols, score)
        return view._located(attended)

    @classmethod
    def from_row(cls, row: Mapping[str, Any], grid: Grid | None = None) -> Self:
        """From a stored row of answers, whose `kept` index the grid in raster order.

        `grid` is that of the encoding; without it the row's own `grid` column is read.

        Raises:
            DataError: the row is an error row, or lacks what a picture needs.
        """
        if row.get("error"):
            raise DataError(f"question {row.get('id')!r} has no trace: it ended with {row['error']}")
        try:
            size, score = {"rows": grid.rows, "cols": grid.cols} if grid is not None else row["grid"], row.get("score")
            looks = tuple(
                Look(
                    gaze_uv=(float(item["gaze_x"]), float(item["gaze_y"])),
                    reason=str(item["reason"]),
                    num_tok=int(item["tokens"]),
                    kept=tuple(int(index) for index in item["kept"]),
                    answer=str(item["answer"] or ""),
                    confidence=float(item["confidence"]),
                )
                for item in row["fixations"]
            )
            view = cls(
                question=str(row["question"]),
                answer=str(row["answer"] or ""),
                confidence=float(row["confidence"]),
                looks=looks,
                rows=int(size["rows"]),
                cols=int(size["cols"]),
                score=None if score is None else float(score),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the row of question {row.get('id')!r} cannot be drawn: {type(error).__name__} {error}. It needs "
                f"question, answer, confidence, grid (rows, cols) and fixations (gaze_x, gaze_y, reason, tokens, kept, "
                f"answer, confidence)"
            ) from error
        strays = [cell for look in looks for cell in look.kept if not 0 <= cell < view.num_cells]
        if strays:
            raise DataError(
                f"question {row.get('id')!r} keeps token {strays[0]}; its grid of {view.rows} x {view.cols} ends at "
                f"{view.num_cells - 1}"
            )
        return view._located(row.get("attended"))

    def _located(self, attended: Sequence[Mapping[str, Any]] | None) -> Self:
        """With the place where the answer was read."""
        if not self.answer.strip():
            return self
        looks = [
            {"gaze_x": look.gaze_uv[0], "gaze_y": look.gaze_uv[1], "reason": look.reason, "kept": look.kept}
            for look in self.looks
        ]
        row = {"grid": {"rows": self.rows, "cols": self.cols}, "fixations": looks, "attended": attended}
        return replace(self, evidence_uv=box_uv(row))

    @property
    def num_cells(self) -> int:
        """Cells of the canvas: the tokens of the whole image."""
        return self.rows * self.cols

    @property
    def kept(self) -> frozenset[int]:
        """Cells that any fixation kept."""
        return frozenset(cell for look in self.looks for cell in look.kept)

    @property
    def plain(self) -> bool:
        """Everything was kept in one look (full, resize): there is nothing to dim and nothing to outline."""
        return len(self.looks) == 1 and len(self.kept) == self.num_cells


def said(answer: str) -> str:
    """The answer, or what an empty one means."""
    return answer if answer.strip() else "cannot read"


def counted(number: int, noun: str) -> str:
    """1 token, 1,234 tokens."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def spent(view: TraceView) -> str:
    """How many of the image's tokens were looked at."""
    kept = len(view.kept)
    if kept == view.num_cells:
        return f"all {counted(kept, 'token')}" if kept > 1 else "1 token"
    return f"{kept:,} of {counted(view.num_cells, 'token')} ({100 * kept / view.num_cells:.0f} %)"
