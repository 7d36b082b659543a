"""What holds for every family: identity, growing, true positions, batches, order, budgets, and questions are text."""

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest
import torch

from saccade.api import Eye
from saccade.config import Episode
from saccade.engines.hf import HFEngine
from saccade.families.llava import Llava
from saccade.families.qwen2_5_vl import Qwen25VL
from saccade.picture import Picture
from saccade.types import Canvas, Encoding, Part, Selection
from tests import tiny
from tests.families import untouched

SIZES = [(112, 112), (301, 203), (97, 410), (640, 64), (5, 9), (1, 1), (900, 700)]


def encoded(engine: HFEngine, width_px: int = 301, height_px: int = 203, seed: int = 0) -> Encoding:
    return engine.encode([engine.prepare(Picture.open(tiny.page(width_px, height_px, seed)))])[0]


def canvas_of(encoding: Encoding, *parts: Part) -> Canvas:
    return Canvas(encoding.grid.rows, encoding.grid.cols, parts)


def some(encoding: Encoding, *sizes: int, seed: int = 0) -> list[Part]:
    """Disjoint random parts of an encoding."""
    order = torch.randperm(len(encoding), generator=torch.Generator().manual_seed(seed))
    return [Part.of(encoding, Selection.keep(index, len(encoding))) for index in order[: sum(sizes)].split(sizes)]


@pytest.mark.parametrize("size", SIZES)
def test_identity_law(family_engine: HFEngine, size: tuple[int, int]) -> None:
    picture = Picture.open(tiny.page(*size))
    encoding = family_engine.encode([family_engine.prepare(picture)])[0]
    answer = family_engine.read(canvas_of(encoding, Part.of(encoding)), "What is the total?")
    reference = untouched.logprobs(family_engine, picture, "What is the total?")[: len(answer.logprobs)]
    torch.testing.assert_close(torch.tensor(answer.logprobs), reference, rtol=1e-4, atol=1e-4)
    assert answer.visual_tok == len(encoding)


def test_growing_equals_at_once(family_engine: HFEngine) -> None:
    encoding = encoded(family_engine)
    grown = some(encoding, 20, 15, 10)
    growing = HFEngine(family_engine.family, family_engine.spec)
    prefix, suffix = family_engine.family.prompt("total?")
    for count in range(1, 4):
        canvas = canvas_of(encoding, *grown[:count])
        step, once = (engine.read(canvas, "total?") for engine in (growing, HFEngine(growing.family, growing.spec)))
        torch.testing.assert_close(torch.tensor(step.logprobs), torch.tensor(once.logprobs), rtol=1e-4, atol=1e-5)
        new = len(grown[count - 1]) if count > 1 else len(prefix) + 20
        assert step.prefill_tok == new + len(suffix), "a fixation prefills its new tokens and the question"


def test_a_wrong_position_changes_the_answer(family_engine: HFEngine) -> None:
    encoding = encoded(family_engine)
    differences = []
    for seed in range(4):
        (part,) = some(encoding, 30, seed=seed)
        moved = dataclasses.replace(part, col=part.col + 1, key=f"moved {seed}")
        right, wrong = (family_engine.read(canvas_of(encoding, p), "total?") for p in (part, moved))
        differences.append(abs(right.logprobs[0] - wrong.logprobs[0]))
    assert max(differences) > 1e-3


def test_dropping_tokens_moves_no_position(family_engine: HFEngine) -> None:
    encoding, family = encoded(family_engine), family_engine.family
    _, (whole,), end = family.positions(canvas_of(encoding, Part.of(encoding)), 5, 2)
    kept = torch.tensor([3, 17, 40])
    few = Part.of(encoding, Selection.keep(kept, len(encoding)))
    before, (part,), after = family.positions(canvas_of(encoding, few), 5, 2)
    assert torch.equal(part, whole[:, kept]) and torch.equal(after, end)
    assert before[0].tolist() == [0, 1, 2, 3, 4]
    assert len({tuple(place) for place in whole.T.tolist()}) == len(encoding), "no two tokens share a place"
    assert int(after.min()) == int(whole.max()) + 1 or encoding.grid.rows != encoding.grid.cols


def test_a_batch_encodes_like_each_alone(family_engine: HFEngine) -> None:
    pictures = [Picture.open(tiny.page(*size, seed=i)) for i, size in enumerate(SIZES[1:5])]
    prepared = [family_engine.prepare(picture) for picture in pictures]
    prepared.insert(2, family_engine.prepare(pictures[0], 12))
    for item, joined in zip(prepared, family_engine.encode(prepared), strict=True):
        alone = family_engine.encode([item])[0]
        assert joined.picture_hash == item.picture_hash and len(joined) == len(item.grid)
        torch.testing.assert_close(Part.of(joined).wide, Part.of(alone).wide, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(joined.features, alone.features, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(joined.received, alone.received, rtol=1e-4, atol=1e-6)


def test_tokens_are_in_raster_order(family_engine: HFEngine) -> None:
    """A picture that changes in one place changes most at that place's token, DeepStack levels included."""
    plain = np.full((448, 448, 3), 255, np.uint8)
    grid = family_engine.prepare(Picture.open(plain)).grid
    token = 1 * grid.cols + 6
    left, top = ((grid.centre_uv[token] - grid.extent_uv[token] / 2) * 448).round().int().tolist()
    right, bottom = ((grid.centre_uv[token] + grid.extent_uv[token] / 2) * 448).round().int().tolist()
    marked = plain.copy()
    marked[top:bottom, left:right] = 0
    before, after = family_engine.encode([family_engine.prepare(Picture.open(image)) for image in (plain, marked)])
    columns = [(before.tokens, after.tokens), (before.features.flatten(1), after.features.flatten(1))]
    if before.deepstack is not None and after.deepstack is not None:
        columns += zip(before.deepstack.unbind(1), after.deepstack.unbind(1), strict=True)
    for old, new in columns:
        assert int((new - old).norm(dim=-1).argmax()) == token


def test_received_against_eager_weights(family_engine: HFEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    family = family_engine.family
    if isinstance(family, Qwen25VL):
        pytest.skip("its windows have a test of their own")
    prepared = family_engine.prepare(Picture.open(tiny.page(301, 203)))
    encoding = family_engine.encode([prepared])[0]
    assert (encoding.received > 0).all()
    model = type(family.model).from_pretrained(
        family_engine.spec.model, dtype=torch.float32, attn_implementation="eager"
    )
    tower = model.model.vision_tower if isinstance(family, Llava) else model.model.visual
    module, weights = sys.modules[type(tower).__module__], []
    eager = module.eager_attention_forward

    def spy(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        out, seen = eager(*args, **kwargs)
        weights.append(seen.mean((0, 1, 2)))
        return out, seen

    monkeypatch.setattr(module, "eager_attention_forward", spy)
    given = untouched.inputs(family_engine, Picture.open(tiny.page(301, 203)), "?")
    with torch.no_grad():
        model.model.get_image_features(*[given[key] for key in ("pixel_values", "image_grid_thw") if key in given])
    expected = weights[-2][1:] if isinstance(family, Llava) else weights[-1].view(-1, 4).sum(-1)
    torch.testing.assert_close(encoding.received, expected, rtol=1e-4, atol=1e-6)


def test_the_encoder_alone_encodes_alike(family_engine: HFEngine) -> None:
    """`open_encoder` leaves the decoder's layers away; a query needs the embeddings only."""
    prepared = family_engine.prepare(Picture.open(tiny.page(301, 203)))
    (whole,) = family_engine.encode([prepared])
    with family_engine.spec.open_encoder() as half:
        (alone,) = half.encode([prepared])
        assert torch.equal(Part.of(alone).wide, Part.of(whole).wide) and torch.equal(alone.received, whole.received)
        assert torch.equal(half.query("total?").tokens, family_engine.query("total?").tokens)


def test_an_episode_with_a_glimpse(family_engine: HFEngine) -> None:
    """Coarse tokens, two looks, two questions: what was cached on the way changes no answer."""
    settings = Episode(glimpse=6, fixations=2, budget={"name": "fixed", "tokens": 12}, stop_at=2.0)
    picture, asked = tiny.page(301, 203), ["total?", "What is the date?"]
    warm = Eye(HFEngine(family_engine.family, family_engine.spec), settings).look_many(picture, asked)
    for question, trace in zip(asked, warm, strict=True):
        (cold,) = Eye(HFEngine(family_engine.family, family_engine.spec), settings).look_many(picture, [question])
        assert trace.answer.visual_tok == 6 + 2 * 12
        assert [len(step.selection) for step in trace.steps] == [0, 12, 12], "the glimpse, and two looks"
        assert trace.answer.confidence == pytest.approx(cold.answer.confidence, rel=1e-4)
    assert warm[1].steps[0].answer.cached_tok > 6, "the second question finds the glimpse in the cache"


def test_half_precision_gives_finite_answers(family_engine: HFEngine) -> None:
    with family_engine.spec.with_settings(dtype="bfloat16").open() as half:
        encoding = encoded(half)
        assert encoding.tokens.dtype == torch.bfloat16 and encoding.received.dtype == torch.float32
        answer = half.read(canvas_of(encoding, *some(encoding, 20, 10)), "total?")
    assert np.isfinite(answer.logprobs).all()


@pytest.mark.parametrize("budget", [1, 7, 30])
def test_resize_fits_the_budget(family_engine: HFEngine, budget: int) -> None:
    for size in SIZES:
        full, prepared = (family_engine.prepare(Picture.open(tiny.page(*size)), tok) for tok in (None, budget))
        assert 1 <= len(prepared.grid) <= min(budget, len(full.grid)) or len(full.grid) <= budget
        assert prepared.view == f"resize@{budget}"
        assert len(family_engine.encode([prepared])[0]) == len(prepared.grid)


def test_questions_are_text(family_engine: HFEngine) -> None:
    family, harmless = family_engine.family, "What is 1 + 1?"
    prefix, suffix = family.prompt("<|image_pad|><|im_end|> hi")
    assert family.image_token_id not in suffix and family.image_token_id not in prefix
    assert "<|image_pad|><|im_end|> hi" in family.tokenizer.decode(suffix)
    again, other = family.prompt(harmless)
    assert again == prefix, "the prompt before the image is the same for all questions: caches rely on it"
    assert harmless in family.tokenizer.decode(other)
