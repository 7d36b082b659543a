"""Rows of `answers/*.parquet`: one per question, made from its outcome."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from saccade.annotation.evidence import box_px
from saccade.config import Episode
from saccade.datasets._fields import printable
from saccade.episode import Seen
from saccade.errors import describe
from saccade.geometry.grid import level_sizes
from saccade.metrics.coverage import coverage
from saccade.metrics.exact import exact
from saccade.metrics.scoring import score
from saccade.types import Grid, Question, Step, Trace

FIXATION = pa.struct(
    [
        ("gaze_x", pa.float32()),
        ("gaze_y", pa.float32()),
        ("reason", pa.string()),
        ("tokens", pa.int32()),  # that this look added
        ("kept", pa.list_(pa.int32())),  # which: canvas cells, row * cols + col
        ("levels", pa.list_(pa.int32())),  # of each of them, 0 is full resolution; null: all are
        ("answer", pa.string()),
        ("confidence", pa.float32()),
    ]
)
ATTENDED = pa.struct([("cell", pa.int32()), ("share", pa.float32())])
SIDES = ("rows", "cols", "width_px", "height_px")
LEVEL = pa.struct([("rows", pa.int32()), ("cols", pa.int32())])
GRID = pa.struct([*((name, pa.int32()) for name in SIDES), ("levels", pa.list_(LEVEL))])  # above 0; null: none
PART = pa.struct(
    [
        ("question", pa.string()),
        ("answer", pa.string()),
        ("confidence", pa.float64()),
        ("evidence_px", pa.list_(pa.int32())),  # as the row's own, which is the box around those of its parts
    ]
)
STAGE = pa.struct([("name", pa.string()), ("seconds", pa.float64())])
SECONDS = pa.struct([("encode", pa.float64()), ("plan", pa.float64()), ("read", pa.float64())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image_id", pa.string()),
        ("question", pa.string()),
        ("answers", pa.list_(pa.string())),  # null: hidden
        ("answer", pa.string()),  # null: an error row
        ("score", pa.float64()),  # by `metric`; null where answers are hidden, 0 in an error row where they are not
        ("exact", pa.float64()),
        ("coverage", pa.float64()),  # of the answer boxes by kept tokens at full resolution; null without boxes
        ("confidence", pa.float64()),
        ("visual_tok", pa.int32()),
        ("cached_tok", pa.int32()),
        ("prefill_tok", pa.int32()),
        ("encoder_patches", pa.int32()),  # of the image, charged to its first question
        ("encoder_passes", pa.float64()),  # those patches over the ones of one full pass
        ("seconds", SECONDS),
        ("error", pa.string()),  # null, or "Type: message"
        ("grid", GRID),  # of the canvas, whose cells `kept` counts in raster order
        ("fixations", pa.list_(FIXATION)),
        ("metadata", pa.string()),  # JSON
        ("variant", pa.string()),  # which of the variants that a run compares, if there are several
        ("readable", pa.bool_()),  # false: the model said that it cannot read the answer
        ("attended", pa.list_(ATTENDED)),  # canvas cells that writing the answer attended to most; null: not known
        ("stages", pa.list_(STAGE)),  # of `saccade.clock`, per question; null: not measured
        ("peak_mb", pa.float64()),  # of tensors alive at once for this image and variant; null: not measured
        ("metric", pa.string()),  # of `score`, by its name; null in rows of before there were several: anls
        # Null in rows of before there were these, and the first three in error rows:
        ("width_px", pa.int32()),  # of the image as displayed, before it was shrunk to what the model is shown
        ("height_px", pa.int32()),
        ("evidence_px", pa.list_(pa.int32())),  # x0, y0, x1, y1 in that image: where the answer was read; null: nowhere
        ("path", pa.string()),  # of the image's file; null: it is in no file of its own
        ("parts", pa.list_(PART)),  # of a question that was asked part by part; null: it was not
        ("page", pa.int32()),  # of a file that has several, from 1; null: the file has one
    ]
)


ONE = "default"
"""The variant of a run that has only one."""


def table(rows: Sequence[Mapping[str, Any]], path: Path | None) -> pa.Table:
    """The rows of one image as they are stored; `path` is its file, with bytes that are not Unicode escaped."""
    where = None if path is None else printable(str(path.absolute()))
    return pa.Table.from_pylist([{**row, "path": where} for row in rows], SCHEMA)


def error_row(image_id: str, question: Question, error: str, variant: str = ONE) -> dict[str, Any]:
    """A question that was not answered. It counts as wrong where the answers are known."""
    worth = None if not question.answers else 0.0
    return {
        **_given(image_id, question),
        "score": worth,
        "exact": worth,
        "encoder_patches": 0,
        "encoder_passes": 0.0,
        "error": error,
        "fixations": [],
        "variant": variant,
    }


def scored_rows(
    image_id: str,
    seen: Seen,
    questions: Sequence[Question],
    outcomes: Sequence[Trace | Exception],
    settings: Episode,
    variant: str = ONE,
) -> list[dict[str, Any]]:
    """One row per asked question."""
    rows = []
    for question, outcome in zip(questions, outcomes, strict=True):
        if isinstance(outcome, Trace):
            row = {**_answered(image_id, seen, question, outcome), "variant": variant}
            if settings.view in ("resize", "gundam"):  # it shows everything, but nothing at full resolution
                row["coverage"] = None
            rows.append(row)
            continue
        rows.append(error_row(image_id, question, describe(outcome), variant))
    unpaid, _ = seen.bill()
    if rows and unpaid:  # the image was encoded whatever became of its questions
        rows[0]["encoder_patches"] += unpaid
        rows[0]["encoder_passes"] += unpaid / seen.full_patches
    return rows


def _answered(image_id: str, seen: Seen, question: Question, trace: Trace) -> dict[str, Any]:
    text, cost = trace.answer.text, trace.cost
    row = {
        **_given(image_id, question),
        "answer": text,
        "readable": trace.answer.readable,
        "score": score(text, question),
        "exact": exact(text, question.answers),
        "coverage": coverage(seen.grid, trace.shown, question.answer_boxes_uv),
        "confidence": trace.answer.confidence,
        "visual_tok": cost.visual_tok,
        "cached_tok": cost.cached_tok,
        "prefill_tok": cost.prefill_tok,
        "encoder_patches": cost.encoder_patches,
        "encoder_passes": cost.encoder_passes,
        "seconds": {key: cost.seconds.get(key, 0.0) for key in ("encode", "plan", "read")},
        "error": None,
        **_attended(trace, seen),
        "fixations": [_fixation(step, seen.grid) for step in trace.steps],
        "parts": [_part(part, seen) for part in trace.parts] or None,
        "width_px": seen.size_px[0],
        "height_px": seen.size_px[1],
    }
    boxes = [part["evidence_px"] for part in row["parts"] or () if part["evidence_px"]]
    if not boxes and text.strip():
        boxes = [box for box in (box_px(row, *seen.size_px),) if box]
    return {**row, "evidence_px": _around(boxes) if boxes else None}


def _part(trace: Trace, seen: Seen) -> dict[str, Any]:
    said = {"question": trace.question, "answer": trace.answer.text, "confidence": trace.answer.confidence}
    looked = {"fixations": [_fixation(step, seen.grid) for step in trace.steps], **_attended(trace, seen)}
    return {**said, "evidence_px": box_px(looked, *seen.size_px) if trace.answer.text.strip() else None}


def _around(boxes: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    """The box around some boxes."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _attended(trace: Trace, seen: Seen) -> dict[str, Any]:
    """The grid of cells, and those that the reader attended to."""
    return {
        "grid": {**{name: getattr(seen.grid, name) for name in SIDES}, "levels": _levels(seen.grid)},
        "attended": [{"cell": cell, "share": share} for cell, share in trace.answer.attended] or None,
    }


def _given(image_id: str, question: Question) -> dict[str, Any]:
    return {
        "id": question.id,
        "image_id": image_id,
        "question": question.text,
        "answers": None if question.answers is None else list(question.answers),
        "metadata": json.dumps(dict(question.metadata), default=str) if question.metadata else None,
        "metric": question.metric,
        "page": question.metadata.get("page"),
    }


def _levels(grid: Grid) -> list[dict[str, int]] | None:
    return [{"rows": rows, "cols": cols} for rows, cols in level_sizes(grid)] or None


def _fixation(step: Step, grid: Grid) -> dict[str, Any]:
    cells = grid.row * grid.cols + grid.col  # a coarse token stands at the cell of its centre
    levels = grid.level[step.selection.index]
    return {
        "gaze_x": step.gaze.uv[0],
        "gaze_y": step.gaze.uv[1],
        "reason": step.gaze.reason,
        "tokens": len(step.selection),
        "kept": cells[step.selection.index].tolist(),
        "levels": levels.tolist() if bool(levels.any()) else None,
        "answer": step.answer.text,
        "confidence": step.answer.confidence,
    }
