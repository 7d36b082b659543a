"""Token grids: which part of the image, and which cell of the canvas, each token stands for."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from saccade.types import CELL_ROUNDING, Canvas, Gaze, Grid, cells_at


def plain_grid(rows: int, cols: int, width_px: int, height_px: int) -> Grid:
    """The grid of an image cut into rows x cols equal tokens, in raster order."""
    row, col = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    row, col = row.flatten(), col.flatten()
    centre = torch.stack([(col + 0.5) / cols, (row + 0.5) / rows], dim=-1).to(torch.float32)
    extent = torch.tensor([1 / cols, 1 / rows]).expand_as(centre)
    return Grid(centre, extent, torch.zeros_like(row), row, col, rows, cols, width_px, height_px)


def coarse_on(coarse: Grid, fine: Grid, level: int = 1) -> Grid:
    """A coarser grid of the same image on the canvas of a finer one: each token stands at the floor of its centre."""
    row, col = cells_at(coarse.centre_uv, fine.rows, fine.cols)
    levels = torch.full_like(row, level)
    return Grid(
        coarse.centre_uv, coarse.extent_uv, levels, row, col, fine.rows, fine.cols, coarse.width_px, coarse.height_px
    )


def level_sizes(grid: Grid) -> tuple[tuple[int, int], ...]:
    """(rows, cols) of each level above 0, finest first; () where there is none."""
    sizes = []
    for level in range(1, 1 + (int(grid.level.max()) if len(grid) else 0)):
        here = grid.extent_uv[grid.level == level]
        extent = here.amin(0) if len(here) else 2**level / torch.tensor([grid.cols, grid.rows])  # none stayed so large
        cols, rows = (1 / extent).round().long().clamp(min=1).tolist()
        sizes.append((rows, cols))
    return tuple(sizes)


def covered(cell: int, rows: int, cols: int, coarse_rows: int, coarse_cols: int) -> list[int]:
    """Cells, row * cols + col, whose centres lie under the coarse token that stands at a cell (`coarse_on`)."""
    row, col = divmod(cell, cols)
    spans = []
    for place, fine, coarse in ((row, rows, coarse_rows), (col, cols, coarse_cols)):
        index = int((place + 0.5) * coarse / fine)  # the token's own: its centre lies within half a cell of the cell's
        spans.append(range(*(math.ceil(edge * fine / coarse - 0.5) for edge in (index, index + 1))))
    return [y * cols + x for y in spans[0] for x in spans[1]]


def on_canvas(grid: Grid, values: Tensor, empty: float = -math.inf) -> Tensor:
    """(H * W,) of one value per token (N,); `empty` where no token stands.

    A cell that several tokens share (levels) has the highest; one whose token was merged into another has that one's.
    """
    if grid.source is not None:
        return torch.where(grid.source >= 0, values[grid.source.clamp(min=0)], empty)
    field = torch.full((grid.rows * grid.cols,), -math.inf, dtype=values.dtype)
    field.scatter_reduce_(0, grid.row * grid.cols + grid.col, values, "amax")
    return field.masked_fill(field == -math.inf, empty)


def shares_on(grid: Grid, canvas: Canvas, shares: Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Shares of a canvas's cells (row * cols + col) as shares of the cells of a grid of another size, by their centres.

    Cells that fall into one cell add up.
    """
    summed: defaultdict[int, float] = defaultdict(float)
    for cell, share in shares:
        row, col = divmod(cell, canvas.cols)
        at = int((row + 0.5) * grid.rows / canvas.rows) * grid.cols + int((col + 0.5) * grid.cols / canvas.cols)
        summed[at] += share
    return tuple(summed.items())


def gaze_at(grid: Grid, index: int, reason: str, score: float, importance: Tensor | None = None) -> Gaze:
    """A gaze at the centre of token `index`; `importance` (N,) is what its look favours."""
    x, y = grid.centre_uv[index].tolist()
    return Gaze((x, y), reason, score, importance=importance)


def in_boxes(grid: Grid, boxes_uv: Sequence[tuple[float, float, float, float]]) -> Tensor:
    """(N,) bool: tokens that overlap any box (x0, y0, x1, y1) by more than what float32 may round a border by."""
    if not boxes_uv:
        return torch.zeros(len(grid), dtype=torch.bool)
    if grid.source is not None:
        merged = _cells_of(grid, in_boxes(_cells(grid), boxes_uv).float()) > 0
        return torch.where(grid.level == 0, merged, in_boxes(replace(grid, source=None), boxes_uv))
    boxes = torch.tensor(boxes_uv, dtype=torch.float32)  # (A, 4)
    low, high = grid.centre_uv - grid.extent_uv / 2, grid.centre_uv + grid.extent_uv / 2  # (N, 2)
    overlap = torch.minimum(high[:, None], boxes[None, :, 2:]) - torch.maximum(low[:, None], boxes[None, :, :2])
    return (overlap > CELL_ROUNDING * grid.extent_uv[:, None]).all(-1).any(-1)


def box_coverage(grid: Grid, shown: Tensor, boxes_uv: Sequence[tuple[float, float, float, float]]) -> float:
    """Share of the boxes' area inside the image that the tokens `shown` (N,) bool cover, at full resolution.

    A coarse token covers much and shows little: levels above 0 do not count. A merged token covers the cells that went
    into it, wherever they are, and not what lies between them.
    """
    if grid.source is not None:
        return box_coverage(_cells(grid), shown[grid.source.clamp(min=0)] & (grid.source >= 0), boxes_uv)
    boxes = torch.tensor(boxes_uv, dtype=torch.float32)  # (A, 4)
    low, high = grid.centre_uv - grid.extent_uv / 2, grid.centre_uv + grid.extent_uv / 2  # (N, 2)
    overlap = torch.minimum(high[:, None], boxes[None, :, 2:]) - torch.maximum(low[:, None], boxes[None, :, :2])
    area = overlap.clamp(min=0).prod(-1) * (grid.level == 0).unsqueeze(-1)  # (N, A)
    total = float(area.sum())
    return min(1.0, float(area[shown].sum()) / total) if total > 0 else 0.0


def pool(values: NDArray[np.float32], grid: Grid) -> Tensor:
    """(N,) float32: the mean of a map over the whole image, (height, width), under each token, at its level's scale.

    Of a merged token: over the cells that went into it.
    """
    centre, extent, levels = grid.centre_uv.cpu(), grid.extent_uv.cpu(), grid.level.cpu()
    pooled = torch.zeros(len(grid)) if grid.source is None else _cells_of(grid, pool(values, _cells(grid)))
    for level in set(levels.tolist()) - ({0} if grid.source is not None else set()):
        here = levels == level
        cols, rows = (1 / extent[here].amin(0)).round().long().tolist()  # merged tokens are larger
        cells = torch.from_numpy(_area_mean(values, rows, cols))  # (rows, cols)
        pooled[here] = cells[cells_at(centre[here], rows, cols)]
    return pooled


def _cells(grid: Grid) -> Grid:
    """The plain grid whose cells a merged one was made of."""
    return plain_grid(grid.rows, grid.cols, grid.width_px, grid.height_px)


def _cells_of(grid: Grid, values: Tensor) -> Tensor:
    """(N,) float32: the mean of the cells' values (H*W,) in each token of a merged grid."""
    assert grid.source is not None
    source, kept = grid.source.cpu(), grid.source.cpu() >= 0
    summed = torch.zeros(len(grid)).index_add_(0, source[kept], values[kept])
    return summed / torch.bincount(source[kept], minlength=len(grid)).clamp(min=1)


def as_encoded(rgb: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """A picture (H, W, 3), shrunk to the size that was encoded where it is larger."""
    height, width = rgb.shape[:2]
    size = min(width, grid.width_px), min(height, grid.height_px)
    if size == (width, height):
        return rgb
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _area_mean(values: NDArray[np.float32], rows: int, cols: int) -> NDArray[np.float32]:
    """INTER_AREA to (rows, cols). OpenCV averages only when it shrinks, so a smaller map is repeated first."""
    height, width = values.shape
    factors = math.ceil(rows / height), math.ceil(cols / width)
    if max(factors) > 1:
        values = values.repeat(factors[0], axis=0).repeat(factors[1], axis=1)
    return np.asarray(cv2.resize(values, (cols, rows), interpolation=cv2.INTER_AREA))


def aspects(grids: Sequence[Grid], device: torch.device | None = None) -> Tensor:
    """(B, 2) float32: each image's `Grid.aspect_uv`."""
    return torch.tensor([grid.aspect_uv for grid in grids], dtype=torch.float32, device=device)


def offset_uv(centre_uv: Tensor, gaze_uv: Tensor, aspect: Tensor) -> Tensor:
    """(B, N, 2) from gazes (B, 2) to tokens (B, N, 2), x right and y down, in units of the image's longer side.

    `aspect` (B, 2) as from `aspects`.
    """
    return (centre_uv - gaze_uv[:, None]) * aspect[:, None]


def distance_uv(centre_uv: Tensor, gaze_uv: Tensor, aspect: Tensor) -> Tensor:
    """(B, N) distance of tokens (B, N, 2) from gazes (B, 2), in units of the image's longer side."""
    return torch.hypot(*offset_uv(centre_uv, gaze_uv, aspect).unbind(-1))


def inhibit(importance: Tensor, distance: Tensor, radius: float) -> Tensor:
    """Inhibition of return: importance with everything within `radius` of an earlier gaze set to -inf.

    `importance` (..., N), `distance` (G, ..., N) from each of the G earlier gazes (Itti, Koch & Niebur 1998).
    """
    if distance.shape[0] == 0:
        return importance
    return importance.masked_fill((distance < radius).any(0), float("-inf"))
