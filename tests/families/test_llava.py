"""LLaVA: 1-D positions, the whole picture in the tower's square, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError
from saccade.families.llava import TEMPLATE
from saccade.geometry.grid import coarse_on
from saccade.picture import Picture
from saccade.types import Canvas, Part, Selection
from tests import tiny


@pytest.fixture
def engine(open_tiny: Callable[[str], HFEngine]) -> HFEngine:
    return open_tiny("llava")


def test_a_square_picture_has_the_pixels_of_the_processor(engine: HFEngine) -> None:
    picture = Picture.open(tiny.page(300, 300))
    expected = engine.family.processor(images=[picture.rgb], return_tensors="pt")["pixel_values"][0]
    patches = expected.unfold(1, 14, 14).unfold(2, 14, 14).permute(1, 2, 0, 3, 4).reshape(81, -1)
    torch.testing.assert_close(engine.prepare(picture).patches, patches, rtol=0, atol=0.02)  # its rounding to uint8


def test_nothing_at_the_edges_is_cut_off(engine: HFEngine) -> None:
    """The processor's centre crop would see neither end of a wide page."""
    plain = np.full((100, 900, 3), 255, np.uint8)
    ends = plain.copy()
    ends[:, :100] = ends[:, -100:] = 0
    before, after = engine.encode([engine.prepare(Picture.open(image)) for image in (plain, ends)])
    change = (after.tokens - before.tokens).norm(dim=-1).view(9, 9).mean(0)
    assert set(change.topk(2).indices.tolist()) == {0, 8}
    assert before.grid.width_px / before.grid.height_px == pytest.approx(9, rel=0.05), "distances are the page's"


def test_positions_by_hand(engine: HFEngine) -> None:
    encoding = engine.encode([engine.prepare(Picture.open(tiny.page(200, 300)))])[0]
    part = Part.of(encoding, Selection.keep(torch.tensor([80, 0, 10]), 81))
    before, (middle,), after = engine.family.positions(Canvas(9, 9, (part,)), 4, 2)
    assert before.tolist() == [[0, 1, 2, 3]]
    assert middle.tolist() == [[4, 14, 84]]
    assert after.tolist() == [[85, 86]]  # the question stands behind all 81, whatever was kept
    small = engine.prepare(Picture.open(tiny.page(200, 300)), 6).grid  # 3 x 2, on the canvas of 9 x 9
    glimpse = coarse_on(small, encoding.grid)
    assert (glimpse.row * 9 + glimpse.col).tolist() == [11, 15, 38, 42, 65, 69]


def test_against_one_forward_pass_by_hand(engine: HFEngine) -> None:
    encoding = engine.encode([engine.prepare(Picture.open(tiny.page(200, 300)))])[0]
    part, family = Part.of(encoding, Selection.keep(torch.arange(0, 81, 4), 81)), engine.family
    canvas = Canvas(9, 9, (part,))
    prefix, suffix = family.prompt("total?")
    embeds = torch.cat([family.embed(torch.tensor(prefix)), part.tokens, family.embed(torch.tensor(suffix))])
    places = [*range(len(prefix)), *(len(prefix) + i for i in range(0, 81, 4))]
    places += [len(prefix) + 81 + i for i in range(len(suffix))]
    with torch.no_grad():
        out = family.language_model(
            inputs_embeds=embeds[None],
            position_ids=torch.tensor([places]),
            # Without it, and without a cache, transformers takes gaps in positions for packed sequences and masks.
            attention_mask=torch.ones(1, len(embeds), dtype=torch.int64),
        )
        expected = family.logits(out.last_hidden_state[0, -1]).log_softmax(-1).max()
    assert engine.read(canvas, "total?").logprobs[0] == pytest.approx(float(expected), rel=1e-4)


def test_the_default_template_is_that_of_llava_1_5() -> None:
    words = tiny.tokenizer()
    content = [{"type": "image"}, {"type": "text", "text": "Why?"}]
    made = words.apply_chat_template(
        [{"role": "user", "content": content}], chat_template=TEMPLATE, tokenize=False, add_generation_prompt=True
    )
    assert made == "USER: <image>\nWhy? ASSISTANT:"


@pytest.mark.parametrize(("key", "value"), [("vision_feature_select_strategy", "full"), ("vision_config", "siglip")])
def test_other_towers_are_refused(engine: HFEngine, tmp_path: Path, key: str, value: str) -> None:
    folder = shutil.copytree(engine.spec.model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config[key] = {**config[key], "model_type": "siglip_vision_model"} if value == "siglip" else value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="supported are CLIP towers"), HF(model=str(folder)).open():
        pass


def test_the_size_of_the_tower_is_fixed(engine: HFEngine) -> None:
    with (
        pytest.raises(ConfigError, match=r"takes images of 126\*\*2 px only"),
        HF(model=engine.spec.model, max_px=100).open(),
    ):
        pass
