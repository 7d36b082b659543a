"""Traces to draw, made by hand."""

import numpy as np
import torch

from saccade.geometry.grid import plain_grid
from saccade.picture import Picture
from saccade.types import Answer, Cost, Gaze, Grid, Selection, Step, Trace
from saccade.viz.view import Look, TraceView


def plain_picture(width_px: int, height_px: int, colour: tuple[int, int, int] = (250, 250, 250)) -> Picture:
    """One colour everywhere."""
    return Picture.open(np.full((height_px, width_px, 3), colour, np.uint8))


def view(
    gazes: list[tuple[float, float]],
    *,
    rows: int = 16,
    cols: int = 16,
    kept: list[tuple[int, ...]] | None = None,
    answer: str = "INV-2041",
    question: str = "What is the invoice number?",
    reason: str = "residual query 0.81",
    score: float | None = None,
) -> TraceView:
    """A trace that looked at `gazes`; each fixation kept `kept` (one row of the grid if not given)."""
    kept = kept or [tuple(range(i % rows * cols, (i % rows + 1) * cols)) for i in range(len(gazes))]
    looks = tuple(
        Look(uv, reason, len(cells), cells, answer, 0.1 * (i % 10) + 0.05)
        for i, (uv, cells) in enumerate(zip(gazes, kept, strict=True))
    )
    return TraceView(question, answer, 0.93, looks, rows, cols, score)


def live_trace() -> tuple[Trace, Grid]:
    """Two fixations on a 4 x 3 grid, the second one unreadable."""
    grid = plain_grid(4, 3, 48, 64)

    def answer(text: str, confidence: float) -> Answer:
        return Answer(text, (-0.1,), confidence, 3, 0, 5, 0.01, readable=bool(text))

    first, second = Selection.keep(torch.tensor([4, 1, 7]), 12), Selection.keep(torch.tensor([11]), 12)
    steps = (
        Step(Gaze((0.5, 0.25), "residual query 1.00", 0.4), first, answer("A", 0.8)),
        Step(Gaze((0.875, 0.75), "residual query 0.50", 0.2), second, answer("", 0.0)),
    )
    cost, shown = Cost(4, 9, 0, 12, 1.0, {"read": 0.02}), (first.source >= 0) | (second.source >= 0)
    return Trace("q1", "Which letter?", steps, answer("A", 0.75), cost, shown), grid


def live_row() -> dict[str, object]:
    """The row that `live_trace` is stored as."""
    return {
        "id": "q1",
        "image_id": "page",
        "question": "Which letter?",
        "answers": ["A"],
        "answer": "A",
        "score": None,
        "confidence": 0.75,
        "visual_tok": 4,
        "error": None,
        "grid": {"rows": 4, "cols": 3, "width_px": 48, "height_px": 64},
        "fixations": [
            {
                "gaze_x": 0.5,
                "gaze_y": 0.25,
                "reason": "residual query 1.00",
                "tokens": 3,
                "kept": [1, 4, 7],
                "answer": "A",
                "confidence": 0.8,
            },
            {
                "gaze_x": 0.875,
                "gaze_y": 0.75,
                "reason": "residual query 0.50",
                "tokens": 1,
                "kept": [11],
                "answer": "",
                "confidence": 0.0,
            },
        ],
    }
