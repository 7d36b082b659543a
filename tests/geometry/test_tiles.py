"""Tiles of a grid by hand, and their encodings put together in the page's order."""

from dataclasses import replace

import pytest
import torch

from saccade.geometry.tiles import SIDE, tiles, together
from tests.helpers import item


def test_tiles_by_hand() -> None:
    grid = item(2, 3)[1].grid
    assert [cells.tolist() for cells in tiles(grid, 2)] == [[0, 1, 3, 4], [2, 5]]
    assert [cells.tolist() for cells in tiles(grid, 1)] == [[0], [1], [2], [3], [4], [5]]


@pytest.mark.parametrize(("rows", "cols", "number"), [(10, 10, 1), (11, 10, 2), (36, 25, 12), (3, 41, 5)])
def test_every_cell_is_in_one_tile_and_none_is_too_large(rows: int, cols: int, number: int) -> None:
    grid = item(rows, cols)[1].grid
    found = tiles(grid)
    assert len(found) == number and sorted(torch.cat(found).tolist()) == list(range(rows * cols))
    for cells in found:
        assert len(grid.row[cells].unique()) <= SIDE and len(grid.col[cells].unique()) <= SIDE


def test_together_they_stand_in_the_order_of_the_page() -> None:
    whole = item(4, 6)[1]
    cells = tiles(whole.grid, 2)
    parts = [
        replace(whole, grid=whole.grid.some(some), num_patches=4, **{n: t[some] for n, t in whole.tensors.items()})
        for some in cells
    ]
    made = together(parts, cells, whole.grid)
    assert all(torch.equal(made.tensors[name], whole.tensors[name]) for name in ("tokens", "features"))
    assert torch.allclose(made.received, whole.received * (4 / 24)) and made.num_patches == 6 * 4
    assert made.grid is whole.grid and made.fingerprint != whole.fingerprint
