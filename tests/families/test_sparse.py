"""Some cells of a picture, encoded alone: against a tower written out with masks; all of them are the whole."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from saccade.api import Eye
from saccade.config import Episode
from saccade.engines.hf import HF, HFEngine
from saccade.episode import see
from saccade.errors import ConfigError
from saccade.families import Prepared
from saccade.families.qwen2_5_vl import Qwen25VL
from saccade.geometry.ink import ink_cells
from saccade.geometry.rotary import rotate
from saccade.picture import Picture
from saccade.types import Encoding, Part, Question
from tests import tiny


def prepared(engine: HFEngine, width_px: int = 301, height_px: int = 203, seed: int = 0) -> Prepared:
    return engine.prepare(Picture.open(tiny.page(width_px, height_px, seed)))


def subset(count: int, share: float, seed: int = 0) -> Tensor:
    chosen = torch.rand(count, generator=torch.Generator().manual_seed(seed)) < share
    return chosen.nonzero()[:, 0]


def close(a: Encoding, b: Encoding) -> None:
    torch.testing.assert_close(Part.of(a).wide, Part.of(b).wide, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(a.features, b.features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(a.received, b.received, rtol=1e-4, atol=1e-6)


def test_all_cells_are_the_whole(qwen: HFEngine) -> None:
    whole = prepared(qwen)
    all_of_it = whole.some(torch.arange(len(whole.grid)), "all")
    full, parts = qwen.encode([whole, all_of_it])
    close(full, parts)
    assert full.num_patches == parts.num_patches == whole.whole_patches == all_of_it.whole_patches


@torch.inference_mode()
def masked(engine: HFEngine, whole: Prepared, cells: Tensor) -> Tensor:
    """Tokens (K, D) of cells whose tower sees no other: every pair of patches, and a mask where they may not meet."""
    family, tower = engine.family, engine.family.model.model.visual
    unit = family.merge**2
    thw = torch.tensor([whole.grid_thw])
    every = torch.arange(len(whole.grid))
    states = family._embedded(whole.patches, thw, every).view(len(every), unit, -1)[cells].flatten(0, 1)
    place = torch.cartesian_prod(torch.arange(whole.grid_thw[1]), torch.arange(whole.grid_thw[2]))
    place = place.view(whole.grid.rows, family.merge, whole.grid.cols, family.merge, 2).transpose(1, 2)
    place = place.reshape(len(every), unit, 2)[cells].flatten(0, 1).float()
    cos, sin = (turn.chunk(2, -1)[0].unsqueeze(1) for turn in tower.rotary_pos_emb(place, place))
    together = torch.ones(len(states), len(states), dtype=torch.bool)
    if isinstance(family, Qwen25VL):
        side = tower.window_size // tower.patch_size // family.merge  # tokens
        row, col = (axis[cells].repeat_interleave(unit) // side for axis in (whole.grid.row, whole.grid.col))
        together = (row[:, None] == row) & (col[:, None] == col)
    for number, block in enumerate(tower.blocks):
        query, key, value = block.attn.qkv(block.norm1(states)).view(len(states), 3, block.attn.num_heads, -1).unbind(1)
        scores = torch.einsum("qhc,khc->hqk", rotate(query, cos, sin), rotate(key, cos, sin)) * block.attn.scaling
        if number not in family._full():
            scores = scores.masked_fill(~together, float("-inf"))
        states = states + block.attn.proj(torch.einsum("hqk,khc->qhc", scores.softmax(-1), value).flatten(1))
        states = states + block.mlp(block.norm2(states))
    return tower.merger(states)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_some_cells_against_a_masked_tower(qwen: HFEngine, share: float) -> None:
    whole = prepared(qwen, 420, 290)
    cells = subset(len(whole.grid), share)
    few = qwen.encode([whole.some(cells, "some")])[0]
    torch.testing.assert_close(few.tokens, masked(qwen, whole, cells), rtol=1e-4, atol=1e-4)
    assert torch.equal(few.grid.row, whole.grid.row[cells]) and few.grid.rows == whole.grid.rows
    assert few.num_patches == len(cells) * qwen.family.merge**2 < whole.whole_patches
    full = qwen.encode([whole])[0]
    assert not torch.allclose(few.tokens, full.tokens[cells], atol=1e-3), "they miss the others"


def test_pictures_of_a_batch_do_not_meet(qwen: HFEngine) -> None:
    """Whole ones, parts of several sizes, and a single cell, in one pass and each alone."""
    batch = [prepared(qwen, 301, 203, 1), prepared(qwen, 97, 410, 2), prepared(qwen, 640, 64, 3)]
    batch = [batch[0].some(subset(len(batch[0].grid), 0.4), "a"), batch[1], batch[2].some(torch.tensor([7]), "b")]
    for item, joined in zip(batch, qwen.encode(batch), strict=True):
        close(joined, qwen.encode([item])[0])


def test_other_cells_are_another_encoding(qwen: HFEngine) -> None:
    """What is cached for some cells is never given for others."""
    whole = prepared(qwen)
    a, b = (whole.some(subset(len(whole.grid), 0.5, seed), "ink") for seed in (1, 2))
    keys = {Part.of(encoding).key for encoding in qwen.encode([whole, a, b])}
    assert len(keys) == 3


def test_attention_received_costs_nothing_where_nobody_asks(qwen: HFEngine) -> None:
    asked = prepared(qwen)
    heard, unheard = (qwen.encode([item])[0] for item in (asked, replace(asked, received=False)))
    assert heard.received.isfinite().all() and unheard.received.isnan().all()
    torch.testing.assert_close(heard.tokens, unheard.tokens)
    assert "received" in Episode(scorer="received").needs and "received" in Episode(planner="saliency").needs
    assert "received" not in Episode().needs and not Episode(sampler="full", scorer="received").needs


def page(width_px: int = 448, height_px: int = 448) -> Picture:
    """Paper with two words on it."""
    pixels = np.full((height_px, width_px, 3), 255, np.uint8)
    pixels[60:72, 40:120:4] = 0
    pixels[300:312, 200:260:3] = 30
    return Picture.open(pixels)


def test_ink_is_all_that_is_encoded_shown_and_paid(qwen: HFEngine) -> None:
    picture = page()
    with_all = see(Episode(sampler="full"), qwen, picture, [Question("1", "total?")])
    seen = see(Episode(sampler="full", encoder="ink"), qwen, picture, [Question("1", "total?")])
    cells = ink_cells(picture.rgb, with_all.encoding.grid)
    assert 0 < len(cells) == len(seen.encoding) < len(with_all.encoding) / 3
    assert torch.equal(seen.encoding.grid.row, with_all.encoding.grid.row[cells])
    eye = Eye(qwen, Episode(encoder="ink", budget={"name": "fixed", "tokens": 4}, stop_at=2))
    whole, looks = (eye.look_many(picture, ["total?"], **way)[0] for way in ({"sampler": "full"}, {"fixations": 2}))
    share = len(cells) / len(with_all.encoding)
    assert whole.cost.visual_tok == len(cells) and looks.cost.visual_tok == min(8, len(cells))
    assert whole.cost.encoder_passes == pytest.approx(share) == looks.cost.encoder_passes


def test_a_blank_page_is_one_cell_and_a_photograph_is_whole(qwen: HFEngine) -> None:
    blank = Picture.open(np.full((280, 280, 3), 250, np.uint8))
    photograph = Picture.open(np.random.default_rng(0).integers(0, 255, (280, 280, 3), np.uint8))
    eye = Eye(qwen, Episode(sampler="full", encoder="ink"))
    assert eye.look(blank, "total?").cost.visual_tok == 1
    assert eye.look(photograph, "total?").cost.encoder_passes == 1


def test_a_tower_that_takes_whole_pictures_says_so(open_tiny: Callable[[str], HFEngine]) -> None:
    with pytest.raises(ConfigError, match="whole pictures only: --encoder full"):
        Eye(open_tiny("llava"), Episode(encoder="ink")).look(page(), "total?")


@pytest.mark.parametrize("reduction", [{"name": "tome", "r": 4}, "pooling", {"name": "hired", "keep": 9}])
@pytest.mark.parametrize("encoder", ["ink", "mixed"])
def test_merging_needs_the_whole_page(qwen2_5_vl: object, reduction: str | dict[str, object], encoder: str) -> None:
    with HF(model=str(qwen2_5_vl), reduction=reduction).open() as engine:
        eye = Eye(engine, Episode(encoder=encoder, sampler="topk"))
        with pytest.raises(ConfigError, match="do not go together"):
            eye.look(page(), "total?")
