"""Pages of another data set as seen with one fixed gaze, or blurred evenly to the same number of samples.

    dataset: {name: foveated, of: {name: synthdoc, questions_per_page: 1}, bins: [128, 256]}

Each page keeps its first question, and the gaze is on that question's answer: what the best single gaze lets a reader
read through a log-polar map of `bins`, or `off_deg` degrees beside it. `way`: rows by the logarithm (`foveated`), as
dense as acuity (`acuity`), or by the logarithm and closer together where the page has edges (`scene`). `way: even` is
the rival: as many samples, spread evenly over the page.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import Field

from saccade.datasets import Dataset, Row, Skip, digest
from saccade.geometry.fovea import PX_PER_DEG
from saccade.geometry.quality import even_image, foveated_image, scene_image
from saccade.picture import Picture
from saccade.registry import load
from saccade.types import Question

Way = Literal["foveated", "acuity", "scene", "even"]
Unit = Literal["uv", "px"]  # of the image's sides, or its pixels: boxes come in either


class Foveated(Dataset):
    """Another data set, each image seen with one gaze on the answer of its first question."""

    of: dict[str, Any] = Field(
        {"name": "synthdoc", "questions_per_page": 1}, description="A data set and its settings: {name: synthdoc, ...}."
    )
    way: Way = Field("foveated", description="Log-polar bins, by acuity, by the scene, or as many even samples.")
    bins: tuple[int, int] = Field((256, 512), description="Rows and columns of the log-polar map.")
    off_deg: float = Field(0.0, ge=0, description="Degrees beside the answer that the gaze is, 33.3 px each.")

    def rows(self) -> Iterator[Row | Skip]:
        return (row if isinstance(row, Skip) else _first(row) for row in self._of.rows())

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        inner, x, y, unit = (*json.loads(source), "uv")[:4]  # runs begun before there were units have none
        return Picture(partial(_pixels, self._of, inner, (x, y, unit), self.way, self.bins, self.off_deg), limit_px)

    def fingerprint(self) -> str:
        return digest("gaze with unit", self.way, self.bins, self.off_deg, self._of.fingerprint())

    @property
    def _of(self) -> Dataset:
        return load("datasets", self.of, Dataset)


def _first(row: Row) -> Row:
    """The row with its first question and, in `source`, where the gaze is."""
    question = row.questions[0]
    return replace(row, source=json.dumps([row.source, *_gaze(question)]), questions=(question,))


def _gaze(question: Question) -> tuple[float, float, Unit]:
    """(x, y) of the middle of the first answer box and their unit; the middle of the page if no box is known."""
    boxes = question.answer_boxes_uv or question.answer_boxes_px
    if not boxes:
        return 0.5, 0.5, "uv"
    x0, y0, x1, y1 = boxes[0]
    return (x0 + x1) / 2, (y0 + y1) / 2, "uv" if question.answer_boxes_uv else "px"


def _pixels(
    of: Dataset, source: str, gaze: tuple[float, float, Unit], way: Way, bins: tuple[int, int], off_deg: float
) -> np.ndarray:
    """(H, W, 3) uint8."""
    picture, (x, y, unit) = of.picture(source), gaze
    if way == "even":
        return even_image(picture, bins[0] * bins[1]).rgb
    width, height = picture.size_px
    on_page = (x, y) if unit == "uv" else (min(max(x / width, 0.0), 1.0), min(max(y / height, 0.0), 1.0))
    gaze_uv = _beside(on_page, off_deg * PX_PER_DEG, (width, height))
    if way == "scene":
        return scene_image(picture, gaze_uv, bins).rgb
    return foveated_image(picture, gaze_uv, bins, "acuity" if way == "acuity" else "log").rgb


def _beside(uv: tuple[float, float], off_px: float, size_px: tuple[int, int]) -> tuple[float, float]:
    """The point so far above or below it, whichever is farther from the border: a line of print runs left and right."""
    x, y = uv
    off = off_px / size_px[1]
    return x, min(max(y - off if y > 0.5 else y + off, 0.0), 1.0)
