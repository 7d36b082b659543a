"""Patches of several sizes in one tower: against a tower written out with masks, and a page cut by loops."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from saccade.api import Eye
from saccade.config import Episode
from saccade.engines.hf import HFEngine
from saccade.episode import see
from saccade.errors import ConfigError
from saccade.families import Prepared
from saccade.families.qwen2_5_vl import Qwen25VL
from saccade.geometry.quadtree import plain_blocks
from saccade.geometry.rotary import rotate
from saccade.picture import Picture
from saccade.types import Encoding, Question
from saccade.viz.view import TraceView

PLAIN = 0.1


def page(width_px: int = 448, height_px: int = 420) -> Picture:
    """Paper with two words on it, and a grey gradient, which is plain in small parts only."""
    pixels = np.full((height_px, width_px, 3), 255, np.uint8)
    pixels[60:72, 40:120:4] = 0
    pixels[200:320, 200:400] = np.linspace(0, 200, 200).astype(np.uint8)[None, :, None]
    return Picture.open(pixels)


def cut(engine: HFEngine, plain: float = PLAIN) -> tuple[Prepared, Prepared]:
    whole = engine.prepare(page())
    return whole, engine.family.mixed(page(), whole, plain)


def test_nothing_plain_is_the_whole(qwen: HFEngine) -> None:
    whole, same = cut(qwen, plain=0.0)
    full, found = qwen.encode([whole, same])
    torch.testing.assert_close(found.tokens, full.tokens, rtol=1e-4, atol=1e-4)
    assert torch.equal(found.grid.row, full.grid.row) and found.num_patches == full.num_patches


def test_blocks_are_those_of_a_loop() -> None:
    draw = np.random.default_rng(0)
    grey = np.full((11 * 8, 9 * 8), 200.0)
    for y, x in ((1, 1), (5, 2), (2, 7)):
        grey[y * 8 : y * 8 + 8, x * 8 : x * 8 + 8] = draw.integers(0, 2, (8, 8)) * 255
    spread = lambda y, x, n: 2 * (grey[y * 8 : (y + n) * 8, x * 8 : (x + n) * 8] / 255).std()  # noqa: E731
    expected = []
    for y in range(0, 11, 4):
        for x in range(0, 9, 4):
            if y + 4 <= 11 and x + 4 <= 9 and spread(y, x, 4) < PLAIN:
                expected.append((y * 9 + x, 4))
                continue
            for v in range(y, min(y + 4, 11), 2):
                for u in range(x, min(x + 4, 9), 2):
                    if v + 2 <= 11 and u + 2 <= 9 and spread(v, u, 2) < PLAIN:
                        expected.append((v * 9 + u, 2))
                        continue
                    cells = [(a, b) for a in (v, v + 1) for b in (u, u + 1) if a < 11 and b < 9]
                    expected += [(a * 9 + b, 1) for a, b in cells]
    first, side = plain_blocks(torch.from_numpy(grey / 255).float().expand(3, -1, -1), 11, 9, PLAIN)
    found = list(zip(first.tolist(), side.tolist(), strict=True))
    assert found == sorted(expected) and {4, 2, 1} <= set(side.tolist())


@torch.inference_mode()
def written_out(engine: HFEngine, mixed: Prepared) -> Tensor:
    """(K, D): every pair of patches, at places worked out here, and a mask where they may not meet."""
    family, tower = engine.family, engine.family.model.model.visual
    unit, merge, cols = family.merge**2, family.merge, mixed.grid.cols
    assert mixed.cells is not None and mixed.sides is not None
    states = family._embedded(mixed.patches, torch.tensor([mixed.grid_thw]), mixed.cells)
    place = []
    for cell, side in zip(mixed.cells.tolist(), mixed.sides.tolist(), strict=True):
        for i in range(merge):
            for j in range(merge):  # the middle of the `side` x `side` patches that it covers
                top, left = (cell // cols) * merge + i * side, (cell % cols) * merge + j * side
                place.append([top + (side - 1) / 2, left + (side - 1) / 2])
    cos, sin = (turn.chunk(2, -1)[0].unsqueeze(1) for turn in tower.rotary_pos_emb(*[torch.tensor(place)] * 2))
    together = torch.ones(len(states), len(states), dtype=torch.bool)
    if isinstance(family, Qwen25VL):
        across = tower.window_size // tower.patch_size // merge
        row, col = mixed.cells // cols // across, mixed.cells % cols // across
        row, col = row.repeat_interleave(unit), col.repeat_interleave(unit)
        together = (row[:, None] == row) & (col[:, None] == col)
    for number, block in enumerate(tower.blocks):
        query, key, value = block.attn.qkv(block.norm1(states)).view(len(states), 3, block.attn.num_heads, -1).unbind(1)
        scores = torch.einsum("qhc,khc->hqk", rotate(query, cos, sin), rotate(key, cos, sin)) * block.attn.scaling
        if number not in family._full():
            scores = scores.masked_fill(~together, float("-inf"))
        states = states + block.attn.proj(torch.einsum("hqk,khc->qhc", scores.softmax(-1), value).flatten(1))
        states = states + block.mlp(block.norm2(states))
    return tower.merger(states)


def test_against_a_tower_written_out(qwen: HFEngine) -> None:
    whole, mixed = cut(qwen)
    found = qwen.encode([mixed])[0]
    assert {1, 2, 4} == set(mixed.sides.tolist()) and len(found) < len(whole.grid) / 2
    torch.testing.assert_close(found.tokens, written_out(qwen, mixed), rtol=1e-4, atol=1e-4)
    assert found.num_patches == len(found) * qwen.family.merge**2
    beside = qwen.encode([whole, mixed, whole])[1]
    torch.testing.assert_close(beside.tokens, found.tokens, rtol=1e-4, atol=1e-4)
    other = qwen.encode([cut(qwen, 0.3)[1]])[0]
    assert len({found.fingerprint, other.fingerprint, qwen.encode([whole])[0].fingerprint}) == 3


def test_a_block_shows_what_it_covers_and_stands_in_its_middle(qwen: HFEngine) -> None:
    whole, mixed = cut(qwen)
    grid, rgb, cell = mixed.grid, page().rgb, qwen.family.cell_px
    scale = np.array([rgb.shape[1] / grid.width_px, rgb.shape[0] / grid.height_px])
    area = 0.0
    for number, (first, side) in enumerate(zip(mixed.cells.tolist(), mixed.sides.tolist(), strict=True)):
        top, left = first // grid.cols, first % grid.cols
        assert (int(grid.row[number]), int(grid.col[number])) == (top + side // 2, left + side // 2)
        assert int(grid.level[number]) == {1: 0, 2: 1, 4: 2}[side]
        centre = np.array([left + side / 2, top + side / 2]) * cell * scale
        np.testing.assert_allclose(grid.centre_uv[number] * torch.tensor([448, 420]), centre, atol=1e-3)
        area += float(grid.extent_uv[number].prod())
    assert area == pytest.approx(1.0, abs=1e-5)
    pixels, shown = (each.patches.view(len(each.grid), -1).mean(1) for each in (whole, mixed))
    for number, (first, side) in enumerate(zip(mixed.cells.tolist(), mixed.sides.tolist(), strict=True)):
        cells = [first + y * grid.cols + x for y in range(side) for x in range(side)]
        assert float(shown[number]) == pytest.approx(float(pixels[cells].mean()), abs=0.01)  # bytes, rounded


def test_looks_and_views_take_it(qwen: HFEngine) -> None:
    asked = [Question("a", "Who?")]
    for settings in ({"sampler": "full"}, {}, {"sampler": "topk", "scorer": "edges", "fixations": 1}):
        chosen = Episode(encoder="mixed", **settings)
        seen = see(chosen, qwen, page(), asked)
        assert isinstance(seen.encoding, Encoding) and int(seen.grid.level.max()) == 2
        assert seen.full_patches == qwen.family.whole_patches(page()) > seen.encoder_patches
        trace = Eye(qwen, chosen).look(page(), "Who?")
        assert TraceView.from_trace(trace, seen.grid).coarser


def test_what_does_not_go_with_it(open_tiny: Callable[[str], HFEngine]) -> None:
    with pytest.raises(ConfigError, match="levels of its own"):
        Episode(encoder="mixed", sampler="pyramid", levels=3)
    with pytest.raises(ConfigError, match="patches of one size only"):
        see(Episode(encoder="mixed", sampler="full"), open_tiny("llava"), page(), [Question("a", "Who?")])
