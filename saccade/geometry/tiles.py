"""Tiles: a page cut into parts that are encoded one by one, and put together again on the page's own grid.

DeepSeek-OCR's mode Gundam (Wei et al. 2025) shows a page as tiles of 10 x 10 tokens and as a whole, of 16 x 16.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import torch
from torch import Tensor

from saccade.types import Encoding, Grid

SIDE = 10  # tokens along a tile, at most
TILES_TOK = 9 * SIDE**2  # of all tiles together: Gundam has 9 at most
GLOBAL_TOK = 273  # of the whole page beside them


def tiles(grid: Grid, side: int = SIDE) -> list[Tensor]:
    """Cells (K,) int64 of each tile of a whole grid, row of tiles by row of tiles; they differ in size by a cell."""
    down, across = ceil(grid.rows / side), ceil(grid.cols / side)
    number = (grid.row * down // grid.rows) * across + grid.col * across // grid.cols
    return [(number == tile).nonzero()[:, 0] for tile in range(down * across)]


def together(encodings: Sequence[Encoding], cells: Sequence[Tensor], grid: Grid) -> Encoding:
    """Encodings of tiles with these cells of `grid` as one encoding, in the order of the page's tokens.

    Attention received, an average over a tile's own tokens, is scaled to the whole page's, as in a stack of levels.
    """
    order = torch.cat(list(cells)).argsort()
    scaled = [replace(each, received=each.received * (len(each) / len(grid))) for each in encodings]
    tensors: dict[str, Any] = {
        name: torch.cat([each.tensors[name] for each in scaled])[order.to(encodings[0].tokens.device)]
        for name in encodings[0].tensors
    }
    seal = hashlib.sha256("+".join(each.fingerprint for each in encodings).encode()).hexdigest()[:16]
    return replace(
        encodings[0],
        grid=grid,
        fingerprint=f"tiles-{seal}",  # caches must not take it for the page encoded whole
        num_patches=sum(each.num_patches for each in encodings),
        **tensors,
    )
