"""ToMe inside the towers: nothing merged is the untouched tower, and merging is what a transcription in loops gives."""

import math

import pytest
import torch
from torch import Tensor
from transformers import ViTConfig, ViTModel

from saccade.api import Eye
from saccade.config import Episode
from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError
from saccade.families._vit import encode
from saccade.picture import Picture
from saccade.reduction import Reduction
from saccade.reduction.tome import ToMe
from saccade.types import Canvas, Encoding, Part
from tests import tiny

SIZES = [(301, 203), (97, 410), (112, 112)]


def prepared(engine: HFEngine) -> list:
    return [engine.prepare(Picture.open(tiny.page(*size, seed=i))) for i, size in enumerate(SIZES)]


@pytest.fixture
def reduced(qwen: HFEngine):
    """`reduced(reduction)`: the family with that reduction in its tower, until the test ends."""
    family, fingerprint = qwen.family, qwen.family.fingerprint

    def put(reduction: Reduction) -> HFEngine:
        family.fingerprint = fingerprint
        family.reduce(reduction)
        return qwen

    yield put
    family.reduction, family.fingerprint = None, fingerprint


def test_no_r_is_the_untouched_tower_bit_by_bit(qwen: HFEngine, reduced) -> None:
    plain = qwen.encode(prepared(qwen))
    for none in (ToMe(r=0), ToMe(r=(0, 0, 0, 0))):
        for before, after in zip(plain, reduced(none).encode(prepared(qwen)), strict=True):
            assert torch.equal(Part.of(before).wide, Part.of(after).wide)
            assert torch.equal(before.features, after.features) and torch.equal(before.received, after.received)
            assert after.grid.source is None and before.fingerprint != after.fingerprint


def test_the_loop_without_a_reduction_is_the_tower(qwen: HFEngine, reduced) -> None:
    plain = qwen.encode(prepared(qwen))
    for before, after in zip(plain, reduced(Reduction()).encode(prepared(qwen)), strict=True):
        torch.testing.assert_close(Part.of(before).wide, Part.of(after).wide, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(before.features, after.features, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(before.received, after.received, rtol=1e-4, atol=1e-6)
        assert torch.equal(before.grid.row, after.grid.row) and torch.equal(before.grid.col, after.grid.col)


@pytest.mark.parametrize(
    "tome", [ToMe(r=6), ToMe(r=(0, 9)), ToMe(r=None, threshold=0.2), ToMe(r=4, weight="norm")], ids=str
)
def test_merging_against_loops(qwen: HFEngine, reduced, tome: ToMe) -> None:
    found = reduced(tome).encode(prepared(qwen))
    for item, encoding in list(zip(prepared(qwen), found, strict=True))[1:]:  # of the batch; the first is slow
        tokens, cells = transcribed(qwen, item, tome)
        assert len(tokens) < len(item.grid)
        assert len(encoding) == len(tokens)
        source = [[int(t) for t in torch.tensor(sorted(cell))] for cell in cells]
        mine = [(encoding.grid.source == t).nonzero().flatten().tolist() for t in range(len(encoding))]
        assert sorted(mine) == sorted(source), "the same cells merged"
        where = [source.index(cells_of) for cells_of in mine]
        torch.testing.assert_close(Part.of(encoding).wide, tokens[where], rtol=2e-3, atol=2e-3)


def transcribed(engine: HFEngine, item, tome: ToMe) -> tuple[Tensor, list[set[int]]]:
    """One picture, token by token: lists, softmax written out, merges done one after the other."""
    family, tower = engine.family, engine.family.model.model.visual
    thw = torch.tensor([item.grid_thw])
    with torch.no_grad():
        embedded = family._embedded(item.patches.to(tower.dtype), thw, torch.arange(len(item.grid)))
        unit = family.merge**2
        order, window = family._windows(thw)
        side = item.grid.cols
        place = []
        for cell in order.tolist():
            row, col = divmod(cell, side)
            corners = [
                (row * family.merge + i, col * family.merge + j)
                for i in range(family.merge)
                for j in range(family.merge)
            ]
            place.append(torch.tensor(corners, dtype=torch.float32))
        tokens = [
            {
                "x": embedded.view(-1, unit, embedded.shape[-1])[cell],
                "at": at,
                "size": 1.0,
                "w": int(w),
                "cells": {cell},
                "levels": [],
            }
            for cell, at, w in zip(order.tolist(), place, window.tolist(), strict=True)
        ]
        for layer, block in enumerate(tower.blocks):
            rooms = {0: list(range(len(tokens)))}
            if layer not in family._full():
                rooms = {w: [i for i, t in enumerate(tokens) if t["w"] == w] for w in {t["w"] for t in tokens}}
            tokens = one_block(tower, block, tokens, rooms, tome, tome._r(layer))
            stacked = getattr(tower, "deepstack_visual_indexes", [])
            if layer in stacked:
                merger = tower.deepstack_merger_list[stacked.index(layer)]
                tokens = [{**t, "levels": [*t["levels"], merger(t["x"])[0]]} for t in tokens]
        out = torch.stack([torch.cat([tower.merger(t["x"])[0], *t["levels"]]) for t in tokens])
    return out, [t["cells"] for t in tokens]


def one_block(tower, block, tokens, rooms, tome, r):
    attn, edges = block.attn, []
    half = attn.qkv.out_features // 3 // attn.num_heads // 2
    added = {}
    for members in rooms.values():
        heads = {}
        for i in members:
            q, k, v = attn.qkv(block.norm1(tokens[i]["x"])).view(-1, 3, attn.num_heads, 2 * half).unbind(1)
            frequency = tower.rotary_pos_emb.inv_freq
            turn = torch.cat([tokens[i]["at"][:, :1] * frequency, tokens[i]["at"][:, 1:] * frequency], -1)[:, None]
            heads[i] = (turned(q, turn), turned(k, turn), v, k.mean(1).flatten())
        for i in members:
            mixed = []
            for patch in range(len(tokens[i]["x"])):
                for head in range(attn.num_heads):
                    q = heads[i][0][patch, head]
                    logits = torch.cat(
                        [heads[j][1][:, head] @ q * attn.scaling + math.log(tokens[j]["size"]) for j in members]
                    )
                    weights = logits.exp() / logits.exp().sum()
                    mixed.append(weights @ torch.cat([heads[j][2][:, head] for j in members]))
            added[i] = tokens[i]["x"] + attn.proj(torch.cat(mixed).view(len(tokens[i]["x"]), -1))
        for a in members[::2]:
            others = [(float(torch.cosine_similarity(heads[a][3], heads[b][3], dim=0)), b) for b in members[1::2]]
            if others and r != 0:
                edges.append((*max(others, key=lambda pair: pair[0]), a))
    edges = [edge for edge in edges if tome.threshold is None or edge[0] >= tome.threshold]
    edges = sorted(edges, key=lambda edge: -edge[0])[:r]
    weight = {
        i: t["size"] * (float(added[i].norm(dim=-1).mean()) if tome.weight == "norm" else 1)
        for i, t in enumerate(tokens)
    }
    into = {i: [i] for i in range(len(tokens))}
    for _, b, a in edges:
        into[b] += into.pop(a)
    made = []
    for mine in into.values():
        size = sum(tokens[i]["size"] for i in mine)
        x = sum(weight[i] * added[i] for i in mine) / sum(weight[i] for i in mine)
        at = sum(tokens[i]["size"] * tokens[i]["at"] for i in mine) / size
        x = x + block.mlp(block.norm2(x))
        cells = set().union(*(tokens[i]["cells"] for i in mine))
        share = [weight[i] / sum(weight[j] for j in mine) for i in mine]
        levels = [
            sum(each * part for each, part in zip(share, parts, strict=True))
            for parts in zip(*(tokens[i]["levels"] for i in mine), strict=True)
        ]
        window = min(tokens[i]["w"] for i in mine)
        made.append({"x": x, "at": at, "size": size, "w": window, "cells": cells, "levels": levels})
    return made


def turned(heads: Tensor, angle: Tensor) -> Tensor:
    first, second = heads.chunk(2, -1)
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], -1)


def test_the_bundled_model() -> None:
    """One patch a token, windows of 8 x 8: the loop is its tower, and merged pages are read like whole ones."""
    with HF(model="nano", max_new_tok=8).open() as nano:
        items = [nano.prepare(Picture.open(tiny.page(*size))) for size in ((150, 130), (130, 90))]
        plain = nano.encode(items)
        nano.family.reduce(Reduction())
        for before, after in zip(plain, nano.encode(items), strict=True):
            torch.testing.assert_close(after.tokens, before.tokens, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(after.received, before.received, rtol=1e-4, atol=1e-6)
        nano.family.reduce(ToMe(r=10))
        for item, encoding in zip(items, nano.encode(items), strict=True):
            tokens, _ = transcribed(nano, item, ToMe(r=10))
            assert len(encoding) == len(tokens) < len(item.grid)
            torch.testing.assert_close(encoding.tokens.sum(0), tokens.sum(0), rtol=2e-3, atol=2e-3)


def test_windows_are_kept_apart(open_tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """In windowed blocks no token takes in cells of another window, and in the full one some do."""
    engine = open_tiny("qwen2_5_vl")
    family, fingerprint = engine.family, engine.family.fingerprint
    (item,) = prepared(engine)[:1]
    rows, cols = item.grid.rows, item.grid.cols
    window = [(r // 2) * cols + c // 2 for r in range(rows) for c in range(cols)]  # windows of 2 x 2 tokens
    try:
        for r, crosses in (((99, 99), False), ((0, 0, 20), True)):
            family.reduce(ToMe(r=r))
            grid = engine.encode([item])[0].grid
            spans = [len({window[int(c)] for c in (grid.source == t).nonzero()}) for t in range(len(grid))]
            assert (max(spans) > 1) == crosses
    finally:
        family.reduction, family.fingerprint = None, fingerprint


def test_a_batch_is_each_alone_and_says_what_it_is(qwen: HFEngine, reduced) -> None:
    engine = reduced(ToMe(r=5))
    for item, joined in zip(prepared(qwen), engine.encode(prepared(qwen)), strict=True):
        alone = engine.encode([item])[0]
        torch.testing.assert_close(Part.of(joined).wide, Part.of(alone).wide, rtol=1e-3, atol=1e-3)
        assert torch.equal(joined.grid.source, alone.grid.source)
        depth = len(qwen.family.model.model.visual.blocks)
        assert len(joined) == len(item.grid) - 5 * depth or depth * 5 > len(item.grid) / 2
        assert joined.num_patches == item.patches.shape[0], "what entered the tower is what is paid"
        assert float(joined.received.sum()) == pytest.approx(1, abs=1e-4)
        stands = joined.grid.row * joined.grid.cols + joined.grid.col
        assert (stands.diff() >= 0).all() and sorted(joined.grid.source.unique().tolist()) == list(range(len(joined)))
        assert joined.tokens.shape[0] == joined.features.shape[0] == len(joined)


def test_episodes_read_merged_tokens(qwen: HFEngine, reduced) -> None:
    engine = HFEngine(reduced(ToMe(r=5)).family, qwen.spec)
    settings = Episode(glimpse=4, fixations=2, budget={"name": "fixed", "tokens": 6}, stop_at=2.0)
    trace = Eye(engine, settings).look(tiny.page(301, 203), "total?")
    assert trace.answer.visual_tok > 12 and 0 <= trace.answer.confidence <= 1
    encoding: Encoding = engine.encode(prepared(qwen)[:1])[0]
    canvas = Canvas(encoding.grid.rows, encoding.grid.cols, (Part.of(encoding),))
    assert engine.read(canvas, "total?").visual_tok == len(encoding)


def test_half_precision(qwen: HFEngine) -> None:
    with qwen.spec.with_settings(dtype="bfloat16", reduction={"name": "tome", "r": 5}).open() as half:
        encoding = half.encode(prepared(qwen)[:1])[0]
    assert encoding.tokens.dtype == torch.bfloat16 and encoding.tokens.isfinite().all()
    assert encoding.received.dtype == torch.float32


def test_settings_reach_the_encoder_and_its_fingerprint(qwen: HFEngine) -> None:
    spec = qwen.spec.with_settings(reduction="tome")
    assert spec.reduction == ToMe().spec()
    with spec.open_encoder() as encoder, spec.with_settings(reduction={"name": "tome", "r": 3}).open_encoder() as other:
        one, two, none = (each.encode(prepared(qwen)[:1])[0] for each in (encoder, other, qwen))
    assert len({one.fingerprint, two.fingerprint, none.fingerprint}) == 3
    assert len({Part.of(each).key for each in (one, two, none)}) == 3, "caches must not mix them"


def test_a_tower_that_takes_none_says_so(open_tiny) -> None:
    model = open_tiny("llava").spec.model
    with (
        pytest.raises(ConfigError, match=r"'tome' works inside the vision tower.*Qwen2.5-VL"),
        HF(model=model, reduction="tome").open(),
    ):
        pass
    with HF(model=model, reduction={"name": "tome", "r": 0}).open() as engine:
        assert len(engine.encode([engine.prepare(Picture.open(tiny.page(50, 50)))])[0]) == 81


# A plain ViT


def vit(layers: int = 2, **settings) -> ViTModel:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=48, image_size=64, **settings
    )
    model = ViTModel(config, add_pooling_layer=False).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2) if parameter.ndim > 1 else None
    return model


def test_a_vit_without_reduction_is_itself_and_with_r_has_fewer_tokens() -> None:
    model, pixels = vit(), torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = model(pixels).last_hidden_state
        assert torch.equal(encode(model, pixels, ToMe(r=0)).states.view_as(plain), plain)
        torch.testing.assert_close(
            encode(model, pixels, Reduction()).states.view_as(plain), plain, rtol=1e-4, atol=1e-4
        )
        tokens = encode(model, pixels, ToMe(r=3))
    assert torch.bincount(tokens.image).tolist() == [17 - 2 * 3] * 3
    assert tokens.size.sum() == 3 * 17 and (tokens.size[tokens.fixed] == 1).all(), "the class token merges with nothing"


def test_equal_tokens_merge_without_a_trace() -> None:
    """Sixteen patches of four kinds, no positions: merging equals changes nothing that the class token sees.

    It would if a merged token counted once in the mean, or once as a key.
    """
    model = vit(layers=4)
    with torch.no_grad():
        model.embeddings.position_embeddings.zero_()
        kinds = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        of = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 3, 2]])
        pixels = kinds[of].permute(2, 0, 3, 1, 4).reshape(1, 3, 64, 64)
        plain = model(pixels).last_hidden_state[0, 0]
        tokens = encode(model, pixels, ToMe(r=None, threshold=0.9999))
        assert int(tokens.size.max()) >= 4 and len(tokens.states) < 12
        torch.testing.assert_close(tokens.states[0, 0], plain, rtol=1e-4, atol=1e-4)

        class Once(ToMe):
            proportional = False

        once = encode(model, pixels, Once(r=None, threshold=0.9999)).states[0, 0]
    assert float((once - plain).abs().max()) > 0.01, "what is merged must count as often as it stood there"
