"""What a picture of a trace needs to know, wherever the trace comes from: a live `Trace` or a stored row of answers.

A row of `DIR/answers/*.parquet`, as `Table.to_pylist()` gives it (other columns are ignored):

    {"question": "What is the invoice number?", "answer": "INV-2041", "confidence": 0.93, "score": 1.0, "error": None,
     "grid": {"rows": 64, "cols": 48, "width_px": 768, "height_px": 1024, "levels": None},
     "fixations": [{"gaze_x": 0.62, "gaze_y": 0.18, "reason": "residual query 0.81", "tokens": 273,
                    "kept": [17, 18, 81, ...], "levels": None, "answer": "INV-2041", "confidence": 0.93}]}

`levels` (null: there is one) are the rows and columns of each coarser level, and the level of each token that was kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from saccade.annotation.evidence import Box, box_uv, covers
from saccade.errors import DataError
from saccade.geometry.grid import level_sizes
from saccade.types import Grid, Trace
from saccade.wording import counted


@dataclass(frozen=True, slots=True)
class Look:
    """One fixation. `kept` are tokens by the canvas cells, row * cols + col, that they stand at."""

    gaze_uv: tuple[float, float]
    reason: str
    num_tok: int
    kept: tuple[int, ...]
    answer: str  # empty: it could not be read
    confidence: float
    levels: tuple[int, ...] = ()  # of each that was kept, 0: full resolution; (): all of them are

    @property
    def tokens(self) -> tuple[tuple[int, int], ...]:
        """Cell and level of each that was kept."""
        return tuple(zip(self.kept, self.levels or [0] * len(self.kept), strict=True))

    @property
    def sharp(self) -> tuple[int, ...]:
        """Cells that were shown at full resolution."""
        return tuple(cell for cell, level in self.tokens if level == 0)

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
    coarser: tuple[tuple[int, int], ...] = ()  # rows and columns of each level above 0
    evidence_uv: Box | None = None  # where the answer was read; None: nothing was, or nobody knows
    parts: tuple[tuple[str, str, float], ...] = ()  # what was asked one by one: words, answer, confidence

    @classmethod
    def from_trace(cls, trace: Trace, grid: Grid, score: float | None = None) -> Self:
        """From a live trace and the grid of the encoding that its selections index."""
        cells, level, coarser = (grid.row * grid.cols + grid.col).tolist(), grid.level, level_sizes(grid)
        looks = tuple(
            Look(
                gaze_uv=step.gaze.uv,
                reason=step.gaze.reason,
                num_tok=len(step.selection),
                kept=tuple(cells[index] for index in step.selection.index.tolist()),
                answer=step.answer.text,
                confidence=step.answer.confidence,
                levels=tuple(level[step.selection.index].tolist()) if coarser else (),
            )
            for step in trace.steps
        )
        attended = [{"cell": cell, "share": share} for cell, share in trace.answer.attended]
        answer, size = trace.answer, (grid.rows, grid.cols)
        parts = tuple((part.question, part.answer.text, part.answer.confidence) for part in trace.parts)
        made = cls(trace.question, answer.text, answer.confidence, looks, *size, score, coarser, parts=parts)
        return made._located(attended)

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
            size, score = row["grid"] if grid is None else _size(grid), row.get("score")
            looks = tuple(
                Look(
                    gaze_uv=(float(item["gaze_x"]), float(item["gaze_y"])),
                    reason=str(item["reason"]),
                    num_tok=int(item["tokens"]),
                    kept=tuple(int(index) for index in item["kept"]),
                    answer=str(item["answer"] or ""),
                    confidence=float(item["confidence"]),
                    levels=tuple(item.get("levels") or ()),
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
                coarser=tuple((each["rows"], each["cols"]) for each in size.get("levels") or ()),
                parts=tuple((part["question"], part["answer"], part["confidence"]) for part in row.get("parts") or ()),
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
            | {"levels": look.levels}
            for look in self.looks
        ]
        return replace(self, evidence_uv=box_uv({"grid": self._grid, "fixations": looks, "attended": attended}))

    @property
    def _grid(self) -> dict[str, Any]:
        """As a row stores it, without the pixels."""
        levels = [{"rows": rows, "cols": cols} for rows, cols in self.coarser]
        return {"rows": self.rows, "cols": self.cols, "levels": levels}

    @property
    def num_cells(self) -> int:
        """Cells of the canvas: the tokens of the whole image at full resolution."""
        return self.rows * self.cols

    @property
    def num_tok(self) -> int:
        """Tokens of the whole image, those of every level."""
        return self.num_cells + sum(rows * cols for rows, cols in self.coarser)

    @property
    def kept(self) -> frozenset[tuple[int, int]]:
        """Tokens that any fixation kept, by cell and level."""
        return frozenset(token for look in self.looks for token in look.tokens)

    @property
    def sharp(self) -> frozenset[int]:
        """Cells that any fixation showed at full resolution."""
        return frozenset(cell for look in self.looks for cell in look.sharp)

    @property
    def plain(self) -> bool:
        """Everything was kept in one look (full, resize): there is nothing to dim and nothing to outline."""
        return len(self.looks) == 1 and len(self.sharp) == self.num_cells

    def owners(self) -> NDArray[np.int64]:
        """(rows, cols): the look that first showed each cell, -1 for none. A coarse token shows all that it covers."""
        owner = np.full(self.num_cells, -1)
        for number, look in enumerate(self.looks):
            cells = np.array(covers(look.tokens, self._grid), dtype=np.int64)
            owner[cells[owner[cells] < 0]] = number
        return owner.reshape(self.rows, self.cols)


def said(answer: str) -> str:
    """The answer, or what an empty one means."""
    return answer if answer.strip() else "cannot read"


def spent(view: TraceView) -> str:
    """How many of the image's tokens were looked at."""
    kept, there = len(view.kept), view.num_tok
    if kept == there:
        return f"all {counted(kept, 'token')}" if kept > 1 else "1 token"
    return f"{kept:,} of {counted(there, 'token')} ({100 * kept / there:.0f} %)"


def _size(grid: Grid) -> dict[str, Any]:
    """A live grid as a row stores it, without the pixels."""
    levels = [{"rows": rows, "cols": cols} for rows, cols in level_sizes(grid)]
    return {"rows": grid.rows, "cols": grid.cols, "levels": levels}
