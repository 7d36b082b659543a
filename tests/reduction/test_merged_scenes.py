"""Every sampler and scorer on scenes of merged tokens: two may share a cell, sizes differ, and some cells are gone."""

from dataclasses import replace

import pytest
import torch

from saccade.importance import Scorer
from saccade.registry import names
from saccade.samplers import Sampler
from saccade.tokens.merging import merge, merged_grid
from saccade.types import Scene, Selection
from tests.helpers import Item, importance_of, item
from tests.test_contracts import default_strategy


def merged_item(rows: int, cols: int, seed: int) -> Item:
    """A random image of which some cells merged at random, near and far, and one is dropped."""
    picture, encoding, query = item(rows, cols, seed)
    draw = torch.randint(0, rows * cols // 2, (rows * cols,), generator=torch.Generator().manual_seed(seed))
    into = torch.unique(draw, return_inverse=True)[1]
    num = int(into.max()) + 1
    into[int((torch.bincount(into)[into] > 1).nonzero()[0])] = -1
    grid, order = merged_grid(encoding.grid, into, num)
    weight = torch.ones(rows * cols)
    change = {
        name: merge(getattr(encoding, name), into, weight, num)[order] for name in ("tokens", "features", "received")
    }
    return picture, replace(encoding, grid=grid, **change), query


def scene() -> Scene:
    return Scene.of([merged_item(6, 9, 0), merged_item(8, 5, 1)])


def test_some_tokens_share_a_cell() -> None:
    grids = scene().grids
    assert any(len({*zip(g.row.tolist(), g.col.tolist(), strict=True)}) < len(g) for g in grids)
    assert all((g.source == -1).sum() == 1 and len(g) < g.rows * g.cols for g in grids)


@pytest.mark.parametrize("name", names("samplers"))
@pytest.mark.parametrize("keep", [1, 7, 12, 100])
def test_samplers_keep_exactly_that_many(name: str, keep: int) -> None:
    sampler, given = default_strategy("samplers", name), scene()
    assert isinstance(sampler, Sampler)
    importance = importance_of(*(len(grid) for grid in given.grids))
    found: list[Selection] = sampler(given, importance, torch.tensor([[0.3, 0.6], [0.9, 0.1]]), keep)
    for selection, grid in zip(found, given.grids, strict=True):
        assert len(selection) == min(keep, len(grid)) and (selection.index.diff() > 0).all()
        assert int(selection.index.max()) < len(grid)


@pytest.mark.parametrize("name", names("importance"))
def test_scorers_score_every_token(name: str) -> None:
    scorer, given = default_strategy("importance", name), scene()
    assert isinstance(scorer, Scorer)
    given = replace(given, attention=given.received)
    scores = scorer(given)
    assert scores.shape == given.valid.shape and scores.isfinite().all()
    assert (scores[~given.present] == 0).all() and float(scores.max()) <= 1 and float(scores.min()) >= 0
