"""Spatial neighbours on the token grid, and what a token has in common with them. Levels never mix."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.types import Grid, Scene

OFFSETS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""(row, column) steps to the 8 neighbours; each one's opposite is as far from the end."""
CHUNK_VALUES = 2**18
"""Gathered values that are held at once: they stay in a core's cache, and 16k tokens need no copy of them all."""


def places(scene: Scene) -> Tensor:
    """(B, N, 2) int64 row and column of each token among those of its own level, 0 at padding.

    The canvas cells of a `Grid` are of the finest level, on which coarse neighbours lie apart; these do not. Where
    tokens of a level differ in size (merged ones), the smallest is the step.
    """
    device, level = scene.present.device, scene.level.unsqueeze(-1).expand(-1, -1, 2)
    extent = pad_sequence([grid.extent_uv for grid in scene.grids], batch_first=True).to(device)
    extent = torch.nn.functional.pad(extent, (0, 0, 0, level.shape[1] - extent.shape[1]))
    levels = int(scene.level.max()) + 1
    extent = extent.masked_fill(~scene.present.unsqueeze(-1), 1.0)
    finest = extent.new_ones(len(extent), levels, 2).scatter_reduce_(1, level, extent, "amin")
    cell = (scene.centre_uv / finest.gather(1, level).clamp(min=1e-9)).floor().long()
    return cell.flip(-1).masked_fill(~scene.present.unsqueeze(-1), 0)


def neighbours(scene: Scene) -> Tensor:
    """(B, N, 8) int64: index of the token one step away in each of `OFFSETS`, -1 where there is none.

    Beyond the border, at padding, and where a token of that level is missing there is none.
    """
    level, present = scene.level, scene.present
    row, col = places(scene).unbind(-1)
    levels = int(level.max()) + 1
    zeros = level.new_zeros(len(level), levels)
    rows = zeros.scatter_reduce(1, level, row + 1, "amax") + 2  # with a border of one empty cell on each side
    cols = zeros.scatter_reduce(1, level, col + 1, "amax") + 2
    size = rows * cols  # (B, levels)
    start = size.cumsum(-1) - size
    width = cols.gather(1, level)
    cell = (start.gather(1, level) + (row + 1) * width + col + 1).masked_fill(~present, 0)
    index = torch.arange(level.shape[1], device=level.device).expand_as(level).masked_fill(~present, -1)
    table = level.new_full((len(level), int(size.sum(-1).max())), -1).scatter_reduce_(1, cell, index, "amax")
    steps = [table.gather(1, (cell + down * width + right).clamp(min=0)) for down, right in OFFSETS]
    return torch.stack(steps, -1).masked_fill(~present.unsqueeze(-1), -1)


def covering(coarse: Grid, fine: Grid) -> Tensor:
    """(N,) int64: for each token of `fine`, the one of `coarse` that covers its centre, or whose edge is nearest."""
    nearest = []
    for centre in torch.split(fine.centre_uv, max(1, CHUNK_VALUES // len(coarse))):
        apart = (centre[:, None] - coarse.centre_uv).abs() / coarse.extent_uv  # up to 1/2 inside
        nearest.append(apart.amax(-1).argmin(-1))
    return torch.cat(nearest)


def mean_distance(vectors: Tensor, near: Tensor) -> Tensor:
    """(B, N) float32: mean Euclidean distance of a token's vector (B, N, C) to its neighbours'; 0 without any.

    `near` (B, N, 8) as from `neighbours`.
    """
    half = len(OFFSETS) // 2  # a pair is measured once: from its earlier token to the later one
    flat, index = _flat(vectors, near[..., half:])
    rows = max(1, CHUNK_VALUES // (half * flat.shape[-1]))
    later = torch.empty(*near.shape[:2], half, device=near.device)
    for here, there, out in _chunks(rows, flat, index, later.flatten(0, 1)):
        out.copy_(torch.linalg.vector_norm(flat[there].float() - here.float().unsqueeze(1), dim=-1))
    back = near[..., :half].flip(-1)  # the opposite of step 4 + k is step 3 - k
    earlier = torch.stack([later[..., k].gather(1, back[..., k].clamp(min=0)) for k in range(half)], -1)
    total = later.sum(-1) + earlier.masked_fill(back < 0, 0.0).sum(-1)
    return total / (near >= 0).sum(-1).clamp(min=1)


def variance_around(vectors: Tensor, near: Tensor) -> Tensor:
    """(B, N) float32: variance of each value over a token and its neighbours, mean over the C values.

    `vectors` (B, N, C), `near` (B, N, 8) as from `neighbours`. Measured from the token itself, so that equal vectors
    give exactly 0.
    """
    flat, index = _flat(vectors, near)
    rows = max(1, CHUNK_VALUES // (len(OFFSETS) * flat.shape[-1]))
    square, total = torch.empty(2, *near.shape[:2], device=near.device)
    for here, there, squares, totals in _chunks(rows, flat, index, square.flatten(), total.flatten()):
        apart = flat[there].float() - here.float().unsqueeze(1)  # (rows, 8, C), 0 where there is no neighbour
        squares.copy_(apart.flatten(1).square().sum(-1))
        totals.copy_(apart.sum(1).square().sum(-1))
    count = (near >= 0).sum(-1) + 1
    variance: Tensor = square / count - total / count.square()
    return variance.clamp(min=0) / vectors.shape[-1]


def _chunks(rows: int, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Runs of `rows` rows of each. Results are written into a column: small ones kept between large ones that are freed
    would leave holes in which the next large one does not fit, and memory would grow as if there were no chunks."""
    return zip(*(torch.split(column, rows) for column in columns), strict=True)


def _flat(vectors: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """All images' vectors (B * N, C) and the neighbours' index in them (B * N, steps): itself where there is none."""
    num = vectors.shape[1]
    own = torch.arange(len(near) * num, device=near.device).view(len(near), num, 1)
    first = own[:, :1]  # of each image
    return vectors.flatten(0, 1), torch.where(near < 0, own, near + first).flatten(0, 1)
