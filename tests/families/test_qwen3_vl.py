"""Qwen3-VL's DeepStack: the levels are the tower's, they go with their tokens, and the answer depends on them."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from saccade.engines.hf import HFEngine
from saccade.picture import Picture
from saccade.types import Canvas, Encoding, Part, Selection
from tests import tiny


@pytest.fixture
def engine(open_tiny: Callable[[str], HFEngine]) -> HFEngine:
    return open_tiny("qwen3_vl")


@pytest.fixture
def encoding(engine: HFEngine) -> Encoding:
    return engine.encode([engine.prepare(Picture.open(tiny.page(301, 203)))])[0]


def test_levels_are_those_of_the_tower(engine: HFEngine, encoding: Encoding) -> None:
    prepared = engine.prepare(Picture.open(tiny.page(301, 203)))
    with torch.no_grad():
        out = engine.family.model.model.visual(prepared.patches, torch.tensor([prepared.grid_thw]))
    assert encoding.deepstack is not None
    torch.testing.assert_close(encoding.deepstack, torch.stack(out.deepstack_features, 1))
    assert encoding.deepstack.shape == (len(encoding), 2, encoding.tokens.shape[1])


def test_levels_go_with_their_tokens(encoding: Encoding) -> None:
    kept = torch.tensor([30, 2, 11])
    part, width = Part.of(encoding, Selection.keep(kept, len(encoding))), encoding.tokens.shape[1]
    assert part.deepstack is not None and encoding.deepstack is not None
    assert torch.equal(part.deepstack, encoding.deepstack[kept.sort().values])
    assert part.wide.shape == (3, 3 * width)
    assert torch.equal(part.wide[:, :width], part.tokens)  # tokens, level 1, level 2: as vLLM takes them
    assert torch.equal(part.wide[:, width : 2 * width], part.deepstack[:, 0])
    assert torch.equal(part.wide[:, 2 * width :], part.deepstack[:, 1])


@pytest.mark.parametrize("change", ["none", "swapped", "shuffled"])
def test_the_answer_depends_on_them(engine: HFEngine, encoding: Encoding, change: str) -> None:
    part = Part.of(encoding)
    assert part.deepstack is not None
    other = {"none": None, "swapped": part.deepstack.flip(1), "shuffled": part.deepstack.flip(0)}[change]
    changed = dataclasses.replace(part, deepstack=other, key=change)
    right, wrong = (
        engine.read(Canvas(encoding.grid.rows, encoding.grid.cols, (p,)), "total?") for p in (part, changed)
    )
    assert abs(right.logprobs[0] - wrong.logprobs[0]) > 1e-3


def test_against_one_forward_pass_by_hand(engine: HFEngine, encoding: Encoding) -> None:
    """Text and visual tokens in one prefill, each with what is its own: against masks as transformers makes them."""
    part = Part.of(encoding, Selection.keep(torch.arange(0, 40, 3), len(encoding)))
    family, canvas = engine.family, Canvas(encoding.grid.rows, encoding.grid.cols, (part,))
    prefix, suffix = family.prompt("total?")
    before, (middle,), after = family.positions(canvas, len(prefix), len(suffix))
    text = [family.embed(torch.tensor(ids)) for ids in (prefix, suffix)]
    mask = torch.zeros(1, len(prefix) + len(part) + len(suffix), dtype=torch.bool)
    mask[:, len(prefix) : len(prefix) + len(part)] = True
    assert part.deepstack is not None
    with torch.no_grad():
        out = family.language_model(
            inputs_embeds=torch.cat([text[0], part.tokens, text[1]])[None],
            position_ids=torch.cat([before, middle, after], 1)[:, None],
            visual_pos_masks=mask,
            deepstack_visual_embeds=list(part.deepstack.unbind(1)),
        )
        expected = family.logits(out.last_hidden_state[0, -1]).log_softmax(-1).max()
    assert engine.read(canvas, "total?").logprobs[0] == pytest.approx(float(expected), rel=1e-4)
