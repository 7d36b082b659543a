"""Puts the tokens of a finished encoding into fewer slots: after the tower, whatever happened in it."""

from dataclasses import replace

import torch
from torch import Tensor

from saccade.geometry.grid import plain_grid
from saccade.tokens.merging import merge, merged_grid, total
from saccade.types import Encoding


def regroup(encoding: Encoding, into: Tensor, num: int, how: str = "mean") -> Encoding:
    """Tokens go `into` (N,) int64 one of num slots, -1 = dropped; attention received is summed; raster order.

    `how` is what a slot holds of each value of its tokens: their "mean" or their "max". A slot stands at the centroid
    of all the cells that have ever gone into it.
    """
    grid = encoding.grid
    base, cells = grid, into
    if grid.source is not None:  # merged in the tower already
        base = plain_grid(grid.rows, grid.cols, grid.width_px, grid.height_px)
        cells = torch.where(grid.source >= 0, into[grid.source.clamp(min=0)], -1)
    merged, order = merged_grid(base, cells, num)

    def slot(values: Tensor) -> Tensor:
        if how == "max":
            return highest(values, into, num)[order]
        return merge(values, into, torch.ones(len(into)), num)[order]

    return replace(
        encoding,
        tokens=slot(encoding.tokens),
        features=slot(encoding.features),
        received=total(encoding.received, into, num)[order],
        grid=merged,
        deepstack=None if encoding.deepstack is None else slot(encoding.deepstack),
    )


def highest(values: Tensor, into: Tensor, num: int) -> Tensor:
    """(num, ...) the highest of each value over the tokens (T, ...) in each slot."""
    kept = into >= 0
    where = into[kept].view(-1, *[1] * (values.ndim - 1)).expand_as(values[kept])
    lowest = values.new_full((num, *values.shape[1:]), float("-inf"))
    return lowest.scatter_reduce(0, where, values[kept], "amax")
