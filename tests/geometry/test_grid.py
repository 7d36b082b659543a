"""Grids by hand."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from saccade.geometry.bins import regions
from saccade.geometry.grid import (
    aspects,
    box_coverage,
    coarse_on,
    covered,
    distance_uv,
    gaze_at,
    in_boxes,
    inhibit,
    level_sizes,
    offset_uv,
    on_canvas,
    plain_grid,
    pool,
    shares_on,
)
from saccade.types import Canvas, Grid


def test_values_lie_on_the_cells_of_their_tokens():
    grid = plain_grid(1, 3, 30, 10)
    two = replace(grid.some(torch.tensor([0, 2, 2])), level=torch.tensor([0, 0, 1]))
    assert on_canvas(two, torch.tensor([0.5, 0.1, 0.3]), empty=0.0).tolist() == pytest.approx([0.5, 0.0, 0.3])
    assert on_canvas(two, torch.tensor([0.5, 0.1, 0.3])).tolist()[1] == -torch.inf
    merged = replace(grid.some(torch.tensor([0, 2])), source=torch.tensor([0, 1, -1]))
    assert on_canvas(merged, torch.tensor([0.5, 0.25]), empty=0.0).tolist() == [0.5, 0.25, 0.0]


def test_plain_grid_is_in_raster_order():
    grid = plain_grid(2, 4, 64, 32)
    assert (len(grid), grid.row.tolist(), grid.col.tolist()) == (8, [0] * 4 + [1] * 4, [0, 1, 2, 3] * 2)
    assert grid.centre_uv[5].tolist() == [0.375, 0.75]
    assert grid.extent_uv[5].tolist() == [0.25, 0.5]
    assert grid.aspect_uv == (1.0, 0.5)


def test_coarse_tokens_stand_at_the_floor_of_their_centre():
    coarse = coarse_on(plain_grid(2, 2, 64, 64), plain_grid(4, 4, 64, 64))
    assert (coarse.row.tolist(), coarse.col.tolist(), coarse.level.tolist()) == ([1, 1, 3, 3], [1, 3, 1, 3], [1] * 4)
    assert (coarse.rows, coarse.cols) == (4, 4)


@pytest.mark.parametrize("fine", [(1, 1), (1, 9), (7, 5), (16, 14), (33, 48)])
@pytest.mark.parametrize("coarse", [(1, 1), (1, 3), (3, 2), (7, 5), (16, 14)])
def test_what_a_coarse_token_covers_is_known_from_its_cell(fine: tuple[int, int], coarse: tuple[int, int]):
    if coarse[0] > fine[0] or coarse[1] > fine[1]:
        pytest.skip("no coarser one")
    page = plain_grid(*fine, 64, 64)
    small = coarse_on(plain_grid(*coarse, 64, 64), page)
    inside, own = ((each.centre_uv.double() * torch.tensor(coarse[::-1])).floor() for each in (page, small))
    for token in range(len(small)):
        cell = int(small.row[token] * fine[1] + small.col[token])
        wanted = (inside == own[token]).all(-1).nonzero().squeeze(1).tolist()
        assert covered(cell, *fine, *coarse) == wanted and cell in wanted


def test_rounding_decides_nothing_between_two_cells():
    """Half of 22 columns are 11: in float32 the centre of the seventh of these lies left of where it stands."""
    for fine in range(1, 100):
        for coarse in {max(1, fine // 2), max(1, fine // 3), max(1, fine - 1)}:
            stands = coarse_on(plain_grid(1, coarse, fine, 1), plain_grid(1, fine, fine, 1))
            assert stands.col.tolist() == [(2 * at + 1) * fine // (2 * coarse) for at in range(coarse)]
            region = regions(plain_grid(1, fine, fine, 1).centre_uv[None], torch.zeros(1, fine).long(), coarse)[0]
            assert (region % coarse).tolist() == [(2 * at + 1) * coarse // (2 * fine) for at in range(fine)]


def test_a_box_that_ends_where_cells_end_is_on_no_cell_beside_them():
    grid = plain_grid(37, 52, 52, 37)
    for row, col in itertools.product(range(37), range(52)):
        box = (col / 52, row / 37, (col + 1) / 52, (row + 1) / 37)
        assert in_boxes(grid, [box]).nonzero().flatten().tolist() == [row * 52 + col]


def test_the_size_of_each_level():
    page = plain_grid(16, 14, 64, 64)
    assert level_sizes(page) == ()
    levels = [coarse_on(plain_grid(*size, 64, 64), page, n) for n, size in enumerate([(8, 7), (4, 3)], 1)]
    names = ("centre_uv", "extent_uv", "level", "row", "col")
    stacked = {name: torch.cat([getattr(each, name) for each in (page, *levels)]) for name in names}
    assert level_sizes(replace(page, **stacked)) == ((8, 7), (4, 3))


def test_gaze_is_at_the_tokens_centre():
    assert gaze_at(plain_grid(2, 2, 8, 8), 3, "why", 0.5).uv == (0.75, 0.75)


def test_boxes_and_coverage():
    grid = plain_grid(2, 2, 8, 8)
    boxes = [(0.25, 0.0, 0.75, 0.5)]  # half of the upper left token, half of the upper right one
    assert in_boxes(grid, boxes).tolist() == [True, True, False, False]
    assert in_boxes(grid, [(0.5, 0.5, 1.0, 1.0)]).tolist() == [False, False, False, True]  # touching is not overlapping
    assert in_boxes(grid, []).tolist() == [False] * 4
    assert box_coverage(grid, torch.tensor([True, False, False, False]), boxes) == pytest.approx(0.5)
    assert box_coverage(grid, torch.tensor([True] * 4), [(2.0, 2.0, 3.0, 3.0)]) == 0


def test_distance_is_in_longer_sides():
    grid = plain_grid(1, 2, 100, 50)
    gaze = torch.tensor([[0.25, 0.0]])
    aspect = aspects([grid])
    assert offset_uv(grid.centre_uv[None], gaze, aspect).tolist() == [[[0.0, 0.25], [0.5, 0.25]]]
    assert distance_uv(grid.centre_uv[None], gaze, aspect)[0].tolist() == pytest.approx([0.25, 0.3125**0.5])


def test_inhibit_masks_discs():
    importance = torch.tensor([1.0, 2.0, 3.0])
    distance = torch.tensor([[0.0, 0.5, 0.9], [0.9, 0.1, 0.9]])
    assert inhibit(importance, distance, 0.2).tolist() == [float("-inf"), float("-inf"), 3.0]
    assert inhibit(importance, distance[:0], 0.2) is importance


def test_pool_means_under_each_token_at_its_level():
    values = np.arange(32, dtype=np.float32).reshape(4, 8)
    fine = plain_grid(2, 4, 8, 4)
    expected = values.reshape(2, 2, 4, 2).mean((1, 3)).ravel()
    assert pool(values, fine).tolist() == pytest.approx(expected.tolist())
    coarse = coarse_on(plain_grid(1, 2, 8, 4), fine)
    names = ("centre_uv", "extent_uv", "level", "row", "col")
    both = Grid(*(torch.cat([getattr(fine, name), getattr(coarse, name)]) for name in names), 2, 4, 8, 4)
    assert pool(values, both)[8:].tolist() == pytest.approx([values[:, :4].mean(), values[:, 4:].mean()])


def test_pool_repeats_maps_smaller_than_the_grid():
    values = np.array([[1.0, 5.0]], dtype=np.float32)
    assert pool(values, plain_grid(2, 4, 8, 4)).tolist() == [1.0, 1.0, 5.0, 5.0] * 2


def test_shares_of_cells_follow_their_centres_to_a_grid_of_another_size() -> None:
    coarse, fine = plain_grid(2, 2, 32, 32), plain_grid(4, 6, 96, 64)
    on_fine = shares_on(fine, Canvas(2, 2), [(0, 0.25), (3, 0.75)])
    assert on_fine == ((1 * 6 + 1, 0.25), (3 * 6 + 4, 0.75))
    on_coarse = dict(shares_on(coarse, Canvas(4, 6), [(0, 0.2), (8, 0.3), (23, 0.5)]))
    assert on_coarse == {0: 0.5, 3: 0.5}, "cells that fall into one add up"
