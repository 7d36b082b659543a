"""Episodes whose looks merge tokens: what is on the canvas, what counts as shown, what may be looked at again."""

import pytest
import torch

from saccade.config import Episode
from saccade.engines.hf import HFEngine
from saccade.episode import see
from saccade.picture import Picture
from saccade.types import Part, Scene
from tests import tiny
from tests.helpers import replay
from tests.test_episode import ASKED, Script, traces

MERGING = [{"sampler": "slots", "planner": "slots"}, {"sampler": {"name": "dominant", "ratio": 0.5}}]


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture.open(tiny.page(440, 400))  # 16 x 14 = 224 tokens


@pytest.mark.parametrize("how", MERGING, ids=["slots", "dominant"])
def test_the_reader_gets_merged_tokens_and_only_whole_ones_count_as_shown(
    engine: HFEngine, picture: Picture, how: dict[str, object]
) -> None:
    reader = Script()
    (trace,) = traces(engine, picture, reader, ASKED[:1], fixations=3, stop_at=2, **how)
    selections = [step.selection for step in trace.steps]
    assert [len(selection) for selection in selections] == [20] * 3 and all(s.merges for s in selections)
    assert len(torch.cat([selection.index for selection in selections]).unique()) == 60, "no token is named twice"
    encoding = see(Episode(), engine, picture, ASKED[:1]).encoding
    for part, selection in zip(reader.asked[-1][1].parts, selections, strict=True):
        expected = Part.of(encoding, selection)
        assert part.key == expected.key and torch.equal(part.tokens, expected.tokens)
        assert not torch.equal(part.tokens, encoding.tokens[selection.index])
    sharp = torch.cat([selection.sharp for selection in selections])
    assert trace.shown.nonzero().flatten().tolist() == sorted(sharp.tolist())
    assert trace.cost.visual_tok == 60


def test_what_was_merged_is_refined_by_a_later_look(engine: HFEngine, picture: Picture) -> None:
    (trace,) = traces(engine, picture, Script(), ASKED[:1], fixations=3, stop_at=2, **MERGING[0])
    first, second, _ = (step.selection for step in trace.steps)
    assert (first.source >= 0).all(), "nothing of the page is missing after the first look"
    averaged = set(range(len(first.source))) - set(first.sharp.tolist())
    assert set(second.index.tolist()) <= averaged


def test_a_stored_trace_replays(engine: HFEngine, picture: Picture) -> None:
    (trace,) = traces(engine, picture, Script(), ASKED[:1], fixations=4, stop_at=2, **MERGING[0])
    settings = Episode(scorer="variance", **MERGING[0])
    seen = see(settings, engine, picture, ASKED[:1])
    scene = Scene.of([(picture, seen.encoding, seen.asked[0][1])])  # type: ignore[list-item]
    again = replay(settings.strategies.planner, scene, settings.strategies.score, trace.steps)
    assert [gaze.uv for gaze in again] == [step.gaze.uv for step in trace.steps]
    assert [gaze.reason for gaze in again] == [step.gaze.reason for step in trace.steps]
