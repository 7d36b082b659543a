"""Neighbours on token grids: borders, padding, levels, tokens that are missing."""

from dataclasses import replace

import torch

from saccade.geometry.neighbours import OFFSETS, neighbours, places
from saccade.types import Grid, Scene
from tests.helpers import item
from tests.importance.scenes import beside, levelled, several


def test_offsets_are_opposite_from_both_ends():
    assert all((-down, -right) == other for (down, right), other in zip(OFFSETS, OFFSETS[::-1], strict=True))


def test_neighbours_of_a_3_by_3_grid():
    near = neighbours(Scene.of([item(3, 3)]))[0].tolist()
    assert near[4] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert near[0] == [-1, -1, -1, -1, 1, -1, 3, 4]
    assert near[5] == [1, 2, -1, 4, -1, 7, 8, -1]  # the right border does not wrap around


def test_neighbours_are_those_whose_centres_are_near():
    scene = several()
    near = neighbours(scene)
    for number, grid in enumerate(scene.grids):
        found = [sorted(j for j in row if j >= 0) for row in near[number, : len(grid)].tolist()]
        assert found == beside(scene, number)
        assert (near[number, len(grid) :] == -1).all()


def test_coarse_tokens_have_places_of_their_own_level():
    """On the canvas they stand two cells apart."""
    scene = Scene.of([levelled(6, 8)])
    coarse = scene.level[0] == 1
    assert sorted(scene.col[0, coarse].unique().tolist()) == [1, 3, 5, 7]
    assert places(scene)[0, coarse].tolist() == [[r, c] for r in range(3) for c in range(4)]


def test_a_missing_token_is_nobodys_neighbour():
    picture, encoding, query = item(3, 3)
    kept, grid = torch.tensor([0, 1, 2, 3, 5, 6, 7, 8]), encoding.grid  # without the centre
    cut = {name: getattr(grid, name)[kept] for name in ("centre_uv", "extent_uv", "level", "row", "col")}
    encoding = replace(
        encoding,
        tokens=encoding.tokens[kept],
        features=encoding.features[kept],
        received=encoding.received[kept],
        grid=replace(grid, **cut),
    )
    assert isinstance(encoding.grid, Grid)
    near = neighbours(Scene.of([(picture, encoding, query)]))[0]
    assert [int((row >= 0).sum()) for row in near] == [2, 4, 2, 4, 4, 2, 4, 2]
