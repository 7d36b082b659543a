"""The pyramid's diagnostic report: the tokens of each level, those kept, and what they contributed.

report = pyramid_report(encoding.grid, importance, kept, pixels=picture.rgb, value=lambda kept: ...)
print(report.text())
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from saccade.engines import Reader
from saccade.episode import Seen
from saccade.geometry.pyramid import bands, gaussian, laplacian
from saccade.metrics.scoring import score as scored
from saccade.types import Canvas, Grid, Part, Question, Selection
from saccade.wording import counted

Value = Callable[[Tensor], float]
"""Kept tokens (N,) bool -> their value: a reader's confidence, a score, or a share of the answer's boxes."""


@dataclass(frozen=True, slots=True)
class LevelReport:
    """One level. Saliency is the importance of its tokens; nan where it has none."""

    level: int
    width_px: int  # of the image at this level
    height_px: int
    rows: int  # of tokens
    cols: int
    tokens: int
    saliency_min: float
    saliency_mean: float
    saliency_max: float
    selected: int
    energy: float | None = None  # variance of its Laplacian band, values in [0, 1]; None: no pixels were given
    peak_cycles_px: float | None = None  # its strongest frequency, in cycles per pixel of the image
    alone: float | None = None  # value of the kept tokens of this level only; None: nothing was measured
    contribution: float | None = None  # value of all kept tokens less that of those without this level


@dataclass(frozen=True, slots=True)
class PyramidReport:
    """All levels, finest first."""

    levels: tuple[LevelReport, ...]
    value: float | None = None  # of all kept tokens

    @property
    def tokens(self) -> int:
        """Tokens of all levels."""
        return sum(level.tokens for level in self.levels)

    @property
    def selected(self) -> int:
        """Tokens kept, of all levels."""
        return sum(level.selected for level in self.levels)

    def text(self) -> str:
        """The report as a table of text."""
        head = ("level", "image px", "grid", "tokens", "selected", "share", "saliency min/mean/max")
        rows: list[tuple[str, ...]] = [head]
        for level in self.levels:
            share = 100 * level.selected / max(1, self.selected)
            saliency = f"{level.saliency_min:.3f} / {level.saliency_mean:.3f} / {level.saliency_max:.3f}"
            size, grid = f"{level.width_px} x {level.height_px}", f"{level.rows} x {level.cols}"
            rows.append(
                (str(level.level), size, grid, f"{level.tokens:,}", str(level.selected), f"{share:.1f} %", saliency)
            )
        for name, title in (
            ("energy", "band energy"),
            ("peak_cycles_px", "peak, cycles/px"),
            ("alone", "value alone"),
            ("contribution", "contribution"),
        ):
            values = [getattr(level, name) for level in self.levels]
            if any(value is not None for value in values):
                cells = [title, *("-" if value is None else f"{value:.4g}" for value in values)]
                rows = [(*row, cell) for row, cell in zip(rows, cells, strict=True)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        fewer = f"{self.tokens / max(1, self.selected):.2f} times fewer"
        total = f"{self.selected:,} of {counted(self.tokens, 'token')}, {fewer}"
        return "\n".join([*lines, total + ("" if self.value is None else f"; value {self.value:.4g}")])


def pyramid_report(
    grid: Grid,
    importance: Tensor,
    kept: Tensor,
    *,
    pixels: NDArray[np.uint8] | None = None,
    value: Value | None = None,
) -> PyramidReport:
    """Statistics of each level of an encoding's `grid`, from `importance` (N,) float and `kept` (N,) bool.

    With `pixels` (H, W, 3) uint8 of the picture: energy and strongest frequency of each level's band (the last level's
    band is everything below). With `value`: the value lost without the level (contribution), and the value of the level
    alone; both are 0 for a level without kept tokens.
    """
    heights = range(int(grid.level.max()) + 1)
    spectrum = _spectrum(grid, pixels, len(heights)) if pixels is not None else [(None, None)] * len(heights)
    whole = value(kept) if value is not None else None
    reports = []
    for level, (energy, peak) in zip(heights, spectrum, strict=True):
        here = grid.level == level
        given, taken = importance[here].float(), int(kept[here].sum())
        low, mean, high = (
            (float(given.min()), float(given.mean()), float(given.max())) if len(given) else (float("nan"),) * 3
        )
        extent = grid.extent_uv[here][0] if bool(here.any()) else torch.ones(2)
        cols, rows = (1 / extent).round().long().tolist()
        alone, contribution = None, None
        if value is not None and whole is not None:
            alone = value(kept & here) if taken else 0.0
            contribution = whole - value(kept & ~here) if taken else 0.0
        width, height = (-(-size // 2**level) for size in (grid.width_px, grid.height_px))
        reports.append(
            LevelReport(
                level,
                width,
                height,
                rows,
                cols,
                int(here.sum()),
                low,
                mean,
                high,
                taken,
                energy,
                peak,
                alone,
                contribution,
            )
        )
    return PyramidReport(tuple(reports), whole)


def _spectrum(grid: Grid, pixels: NDArray[np.uint8], levels: int) -> Sequence[tuple[float, float]]:
    import cv2

    if pixels.shape[:2] != (grid.height_px, grid.width_px):
        pixels = np.asarray(cv2.resize(pixels, (grid.width_px, grid.height_px), interpolation=cv2.INTER_AREA))
    image = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).float() / 255
    energy, peak = bands(laplacian(gaussian(image, levels)))
    return list(zip(energy[0].tolist(), peak[0].tolist(), strict=True))


def read_value(seen: Seen, question: Question, reader: Reader) -> Value:
    """The value of a set of tokens to a reader who sees only them.

    With known answers it is the reader's score by the question's own metric. Without, it is the confidence if the
    answer equals that from the first set evaluated, else 0.
    """
    empty = Canvas(seen.encoding.grid.rows, seen.encoding.grid.cols)
    first: list[str] = []

    def value(kept: Tensor) -> float:
        index = kept.nonzero().flatten()
        if len(index) == 0:
            return 0.0
        part = Part.of(seen.encoding, Selection.keep(index, len(kept)))
        answer = reader.read(empty.add(part), question.text)
        score = scored(answer.text, question)
        if score is not None:
            return score
        first.append(answer.text)
        return answer.confidence if answer.text == first[0] else 0.0

    return value
