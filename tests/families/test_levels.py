"""Every family looks at a picture encoded at several sizes: what stands on the canvas; caches keep levels apart."""

import pytest
import torch

from saccade.api import Eye
from saccade.config import Episode
from saccade.engines.hf import HFEngine
from saccade.episode import see
from saccade.picture import Picture
from saccade.types import Question
from tests import tiny

SETTINGS = Episode(
    levels=3, sampler="pyramid", fixations=2, budget={"name": "fixed", "tokens": 12}, scorer="received", stop_at=2.0
)


def test_levels_are_smaller_pages_on_one_canvas(family_engine: HFEngine) -> None:
    picture = Picture.open(tiny.page(301, 203))
    seen = see(SETTINGS, family_engine, picture, [Question("a", "total?")])
    grid, whole = seen.encoding.grid, family_engine.prepare(picture).grid
    sizes = torch.bincount(grid.level).tolist()
    assert (grid.rows, grid.cols) == (whole.rows, whole.cols)
    assert sizes[0] == len(whole)
    assert all(1 <= after <= -(-before // 3) for before, after in zip(sizes, sizes[1:], strict=False))
    assert len(seen.encoding.received) == len(seen.encoding.tokens) == len(grid) == sum(sizes)
    for level in range(len(sizes)):
        here = grid.level == level
        assert float(grid.extent_uv[here].prod(-1).sum()) == pytest.approx(1, abs=1e-5), "each level is the whole page"
        # Attention is a mean over queries: its sum over a level is about the same at all levels (in LLaVA a class token
        # takes some), so its mean over tokens is 4 times that of the level before until `stack` scales it.
        share = float(seen.encoding.received[here].mean() / seen.encoding.received[grid.level == 0].mean())
        assert 0.6 < share < 1.6


def test_an_episode_over_levels(family_engine: HFEngine) -> None:
    """Two looks, two questions: what was cached on the way, or of one level alone, changes no answer."""
    picture, asked = tiny.page(301, 203), ["total?", "What is the date?"]
    shared = HFEngine(family_engine.family, family_engine.spec)
    Eye(shared, SETTINGS.with_settings(levels=1)).look_many(picture, asked)
    warm = Eye(shared, SETTINGS).look_many(picture, asked)
    for question, trace in zip(asked, warm, strict=True):
        (cold,) = Eye(HFEngine(family_engine.family, family_engine.spec), SETTINGS).look_many(picture, [question])
        assert [len(step.selection) for step in trace.steps] == [12, 12]
        assert trace.answer.confidence == pytest.approx(cold.answer.confidence, rel=1e-4)
        assert trace.answer.text == cold.answer.text
