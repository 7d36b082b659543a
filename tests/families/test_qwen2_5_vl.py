"""Qwen2.5-VL: identity law, pixels and positions against transformers', attention against eager weights."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl

from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError, PictureError
from saccade.families import largest_grid
from saccade.picture import Picture
from saccade.types import Canvas, Part, Selection
from tests import tiny

SIZES = [(112, 112), (301, 203), (97, 410), (640, 64), (5, 9), (1, 1), (900, 700)]


def untouched(engine: HFEngine, picture: Picture, question: str) -> dict[str, torch.Tensor]:
    """The model called as anyone would call it: ids with placeholders, pixels, positions of its own making."""
    family = engine.family
    prepared = family.prepare(picture)
    prefix, suffix = family.prompt(question)
    ids = torch.tensor([[*prefix, *[family.image_token_id] * len(prepared.grid), *suffix]])
    return {
        "input_ids": ids,
        "pixel_values": prepared.patches,
        "image_grid_thw": torch.tensor([prepared.grid_thw]),
        "mm_token_type_ids": (ids == family.image_token_id).int(),
    }


@pytest.mark.parametrize("size", SIZES)
def test_identity_law(engine: HFEngine, size: tuple[int, int]) -> None:
    picture = Picture.open(tiny.page(*size))
    encoding = engine.encode([engine.prepare(picture)])[0]
    canvas = Canvas(encoding.grid.rows, encoding.grid.cols).add(Part.of(encoding))
    answer = engine.read(canvas, "What is the total?")
    inputs = untouched(engine, picture, "What is the total?")
    with torch.no_grad():
        made = engine.family.model.generate(
            **inputs, max_new_tokens=6, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
    logits = torch.stack(made.logits)[:, 0].float().log_softmax(-1)
    reference = logits.max(-1).values[: len(answer.logprobs)]
    torch.testing.assert_close(torch.tensor(answer.logprobs), reference, rtol=1e-4, atol=1e-4)
    assert answer.visual_tok == len(encoding)


def test_pixels_are_those_of_the_processor(engine: HFEngine) -> None:
    picture = Picture.open(tiny.page(517, 333))
    expected = engine.family.processor(images=[picture.rgb], return_tensors="pt")
    prepared = engine.prepare(picture)
    assert prepared.grid_thw == tuple(expected["image_grid_thw"][0].tolist())
    torch.testing.assert_close(prepared.patches, expected["pixel_values"], rtol=0, atol=0.02)  # its rounding to uint8


def test_positions_are_those_of_the_model(engine: HFEngine) -> None:
    picture = Picture.open(tiny.page(301, 203))
    inputs = untouched(engine, picture, "Where?")
    expected, _ = engine.family.model.model.get_rope_index(
        inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
    )
    encoding = engine.encode([engine.prepare(picture)])[0]
    canvas = Canvas(encoding.grid.rows, encoding.grid.cols).add(Part.of(encoding))
    prefix, suffix = engine.family.prompt("Where?")
    before, parts, after = engine.family.positions(canvas, len(prefix), len(suffix))
    assert torch.equal(torch.cat([before, *parts, after], 1), expected[:, 0])


def test_dropping_tokens_moves_no_position(engine: HFEngine) -> None:
    encoding = engine.encode([engine.prepare(Picture.open(tiny.page(301, 203)))])[0]
    kept = Selection.keep(torch.tensor([3, 40, 17]), len(encoding))
    canvas = Canvas(encoding.grid.rows, encoding.grid.cols).add(Part.of(encoding, kept))
    _, (part,), after = engine.family.positions(canvas, 5, 2)
    cols = encoding.grid.cols
    assert part.tolist() == [[5] * 3, [5 + i // cols for i in (3, 17, 40)], [5 + i % cols for i in (3, 17, 40)]]
    assert after[0].tolist() == [5 + max(encoding.grid.rows, cols), 6 + max(encoding.grid.rows, cols)]


def test_features_and_received_are_in_raster_order(
    engine: HFEngine, qwen2_5_vl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against eager attention weights, and windows of 2 x 2 tokens enumerated by hand."""
    prepared = engine.prepare(Picture.open(tiny.page(301, 203)))
    encoding = engine.encode([prepared])[0]
    visual = engine.family.model.model.visual
    with torch.no_grad():
        merged = visual.merger(encoding.features.reshape(-1, encoding.features.shape[-1]))
    torch.testing.assert_close(merged, encoding.tokens, rtol=1e-5, atol=1e-5)

    weights: list[torch.Tensor] = []
    eager = modeling_qwen2_5_vl.eager_attention_forward

    def spy(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        out, seen = eager(*args, **kwargs)
        weights.append(seen)
        return out, seen

    monkeypatch.setattr(modeling_qwen2_5_vl, "eager_attention_forward", spy)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        str(qwen2_5_vl), dtype=torch.float32, attn_implementation="eager"
    )
    with torch.no_grad():
        model.model.visual(prepared.patches, torch.tensor([prepared.grid_thw]))
    in_windows = weights[-1].mean((0, 1, 2)).view(-1, 4).sum(-1)  # one token's four patches lie together
    rows, cols = encoding.grid.rows, encoding.grid.cols
    windows = [
        row * cols + col
        for top in range(0, rows, 2)
        for left in range(0, cols, 2)
        for row in range(top, min(top + 2, rows))
        for col in range(left, min(left + 2, cols))
    ]
    torch.testing.assert_close(encoding.received[windows], in_windows, rtol=1e-4, atol=1e-6)
    assert float(encoding.received.sum()) == pytest.approx(1.0, abs=1e-4)


def test_received_follows_the_picture(engine: HFEngine) -> None:
    """Raster order itself: a picture that changes in one place changes most at that place's token."""
    plain = np.full((224, 224, 3), 255, np.uint8)
    marked = plain.copy()
    marked[28:56, 168:196] = 0  # token row 1, column 6
    before, after = engine.encode([engine.prepare(Picture.open(image)) for image in (plain, marked)])
    change = (after.tokens - before.tokens).norm(dim=-1)
    assert int(change.argmax()) == 1 * before.grid.cols + 6


def test_a_batch_encodes_like_each_alone(engine: HFEngine) -> None:
    prepared = [engine.prepare(Picture.open(tiny.page(*size, seed=i))) for i, size in enumerate(SIZES)]
    together = engine.encode(prepared)
    for alone, joined in zip((engine.encode([item])[0] for item in prepared), together, strict=True):
        torch.testing.assert_close(joined.tokens, alone.tokens, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(joined.features, alone.features, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(joined.received, alone.received, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("budget", [1, 7, 30])
def test_resize_fits_the_budget(engine: HFEngine, size: tuple[int, int], budget: int) -> None:
    full, prepared = (engine.prepare(Picture.open(tiny.page(*size)), tok) for tok in (None, budget))
    assert 1 <= len(prepared.grid) <= min(budget, len(full.grid)) or len(full.grid) <= budget
    assert len(prepared.grid) == prepared.patches.shape[0] // 4


def test_largest_grid_by_hand() -> None:
    assert largest_grid(64, 64, 273) == (16, 17)  # one cell off in 16
    assert largest_grid(64, 64, 271) == (16, 16)
    assert largest_grid(88, 68, 273) == (19, 14)  # letter paper: 266 tokens
    assert largest_grid(1, 1, 1) == (1, 1)
    assert largest_grid(1, 100, 30) == (1, 30)  # nothing is true to that aspect: the closest


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 150))
def test_no_larger_grid_is_true(rows: int, cols: int, budget: int) -> None:
    def true(height: int, width: int) -> bool:
        return abs(math.log(width * rows / height / cols)) <= math.log1p(1 / min(height, width)) + 1e-9

    height, width = largest_grid(rows, cols, budget)
    assert 1 <= height * width <= budget
    larger = [
        (h, w) for h in range(1, budget + 1) for w in range(1, budget // h + 1) if h * w > height * width and true(h, w)
    ]
    assert not larger


def test_special_tokens_in_a_question_are_text(engine: HFEngine) -> None:
    _, suffix = engine.family.prompt("<|image_pad|><|im_end|> hi")
    assert engine.family.image_token_id not in suffix
    assert "<|image_pad|>" in engine.family.tokenizer.decode(suffix)


def test_impossible_pictures_say_why(engine: HFEngine) -> None:
    with pytest.raises(PictureError, match=r"1 x 900 px.*aspect ratio.*Crop it"):
        engine.prepare(Picture.open(tiny.page(1, 900)))


def test_pixel_limit(qwen2_5_vl: Path) -> None:
    with HF(model=str(qwen2_5_vl), max_px=28 * 28 * 10).open() as small:
        assert len(small.prepare(Picture.open(tiny.page(900, 700))).grid) <= 10
    with (
        pytest.raises(ConfigError, match="one token of this model covers 28 x 28 px"),
        HF(model=str(qwen2_5_vl), max_px=100).open(),
    ):
        pass
