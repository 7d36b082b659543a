"""DynamicViT: hiding equals dropping, the shares hold, and the networks learn what to keep."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError
from saccade.families._vit import ViTBlocks, encode
from saccade.heads.files import save
from saccade.heads.keep import KeepScores
from saccade.picture import Picture
from saccade.reduction.dynamicvit import DynamicViT, stage_blocks
from saccade.training.fit import fit
from saccade.training.reduction import TowerHalves, hidden_forward
from tests import tiny
from tests.reduction.test_fusion import pixels, tower


def saved(scores: KeepScores, folder: Path, keep: float) -> DynamicViT:
    save(scores, folder)
    return DynamicViT(weights=str(folder), keep=keep)


def halves(model: Any) -> list[TowerHalves]:
    """The blocks of a ViT, whose tokens are one patch and see all others."""
    blocks = ViTBlocks(model)
    return [TowerHalves(blocks, layer, None, torch.zeros(17)) for layer in range(blocks.num_layers)]


def best(keep: float, fixed: int = 1) -> object:
    """Who stays by rank: the written-out rule."""

    def decide(logits: Tensor, alive: Tensor) -> Tensor:
        stays = torch.zeros_like(alive)
        for number, row in enumerate(logits[..., 0] - logits[..., 1]):
            here = [token for token in range(len(row)) if alive[number, token]]
            room = max(1, int(len(here) * keep + 1e-6))
            ranked = sorted(here[fixed:], key=lambda token: -float(row[token]))  # a class token is first, and stays
            stays[number, [*here[:fixed], *ranked[: room - fixed]]] = 1
        return stays

    return decide


@pytest.mark.parametrize("keep", [0.3, 0.7])
def test_dropping_is_hiding(tmp_path: Path, keep: float) -> None:
    """The reduced tower gives the states of the tower in which those tokens are still there, unseen by the others."""
    model, images = tower(), pixels(5, 0)
    torch.manual_seed(0)
    scores = KeepScores(width=32, inner=8, stages=2)
    found = encode(model, images, saved(scores, tmp_path, keep))
    with torch.no_grad():
        fixed, entered = torch.arange(17) == 0, model.embeddings(images)[:, :, None]
        states, left = hidden_forward(halves(model), scores, entered, fixed, best(keep))  # type: ignore[arg-type]
        expected = model.layernorm(states[:, :, 0])
    kept = found.into.view(5, 17) >= 0
    assert torch.equal(kept, left[-1].bool())
    counts = [int(17 * keep + 1e-6), int(int(17 * keep + 1e-6) * keep + 1e-6)]
    assert [int(alive[0].sum()) for alive in left] == counts and (kept.sum(-1) == counts[-1]).all()
    torch.testing.assert_close(found.states[:, 0], expected[kept], rtol=1e-3, atol=1e-3)


def test_stages_of_twelve_blocks_are_as_published() -> None:
    assert stage_blocks(3, 12) == [3, 6, 9]
    with pytest.raises(ConfigError, match="4 stages need a tower of more than 4 blocks"):
        stage_blocks(4, 4)


def marked(seed: int, count: int = 32) -> tuple[Tensor, Tensor]:
    """A class token and 16 tokens, 4 of which are marked; what is asked for is the mean of the marked ones' value."""
    make = torch.Generator().manual_seed(seed)
    states = torch.randn(count, 17, 32, generator=make)
    chosen = torch.rand(count, 16, generator=make).argsort(-1)[:, :4] + 1
    states[:, :, 0] = 0
    states.scatter_(1, chosen[..., None].expand(-1, -1, 32)[..., :1], 3.0)
    return states[:, :, None], chosen


def share_kept(scores: KeepScores, model: object) -> float:
    """Of the marked tokens of unseen images, those among the best four."""
    states, chosen = marked(999, 64)
    with torch.no_grad():
        _, left = hidden_forward(halves(model), scores, states, torch.arange(17) == 0, best(5 / 17))  # type: ignore[arg-type]
    return float(left[-1].gather(1, chosen).mean())


def test_learns_what_to_keep() -> None:
    """Only the marked tokens hold what is asked for; the networks find the mark, and keep as many as they should."""
    model = tower(3)
    for parameter in model.parameters():
        parameter.mul_(0.3) if parameter.ndim > 1 else None
    torch.manual_seed(0)
    scores, head = KeepScores(width=32, inner=16, stages=1), nn.Linear(32, 1)
    fixed = torch.arange(17) == 0

    def losses() -> Iterator[Tensor]:
        for states, chosen in map(marked, range(200)):
            last, left = hidden_forward(halves(model), scores, states, fixed)
            wanted = states[:, :, 0, 1].gather(1, chosen).mean(-1)
            rest = left[-1] * ~fixed
            read = (last[:, :, 0] * rest[..., None]).sum(1) / rest.sum(-1, keepdim=True).clamp(min=1)
            task = 4 * (head(read)[:, 0] - wanted).square().mean()
            yield task + 2 * (left[-1][:, ~fixed].mean() - 0.25).square()  # a stage keeps a quarter

    before = share_kept(scores, model)
    curve = fit(scores, losses(), 200, 1e-2, also=head.parameters())
    after = share_kept(scores, model)
    assert before < 0.6 and after > 0.9, f"{before} -> {after}"
    assert sum(curve[-20:]) < 0.5 * sum(curve[:20])


def test_gradients_reach_what_is_hidden() -> None:
    """What the class token would gain from one more token, by autograd and by showing a little of it."""
    model = tower(3).double()
    scores, fixed = KeepScores(width=32, inner=8, stages=1), torch.arange(17) == 0
    blocks, entered = halves(model), model.embeddings(pixels(1, 0).double())[:, :, None]
    hard = (torch.arange(17) % 2 == 0).double()[None]

    def outcome(alive: Tensor) -> Tensor:
        last, _ = hidden_forward(blocks, scores, entered, fixed, lambda *_: alive)
        return last[0, 0].sum()

    alive = hard.clone().requires_grad_()
    torch.autograd.backward(outcome(alive))
    assert alive.grad is not None
    for token in (1, 2, 7):
        step = 1e-7 * (torch.arange(17) == token)  # small beside the 1e-6 that keeps the logarithm finite
        with torch.no_grad():
            slope = float(outcome(hard + step) - outcome(hard - step)) / 2e-7
        assert float(alive.grad[0, token]) == pytest.approx(slope, rel=0.02) and abs(slope) > 1e-4


def test_dropping_is_hiding_in_windows(engine: HFEngine, qwen2_5_vl: Path, tmp_path: Path) -> None:
    """The same in Qwen2.5-VL's tower: windows, merged patches, turning positions, a mean over the whole image."""
    torch.manual_seed(1)
    scores = KeepScores(width=32, inner=8, stages=2)
    prepared = [engine.prepare(Picture.open(tiny.page(301, 203, seed=seed))) for seed in (0, 1)]
    with torch.no_grad():
        blocks, tokens, order = engine.family.entering(prepared)
        count = len(prepared[0].grid)
        halves = [
            TowerHalves(blocks, layer, tokens.position[:count], tokens.window[:count])
            for layer in range(blocks.num_layers)
        ]
        states = tokens.states.view(2, count, *tokens.states.shape[1:])
        nothing = torch.zeros(count, dtype=torch.bool)
        last, left = hidden_forward(halves, scores, states, nothing, best(0.6, fixed=0))  # type: ignore[arg-type]
    reduction = {"name": "dynamicvit", "weights": saved(scores, tmp_path, 0.6).weights, "keep": 0.6}
    with HF(model=str(qwen2_5_vl), reduction=reduction).open() as reduced:
        found = reduced.encode(prepared)
    for number, (one, alive) in enumerate(zip(found, left[-1].bool(), strict=True)):
        raster = order[:count][alive].sort()
        cells = one.grid.row * one.grid.cols + one.grid.col
        assert cells.tolist() == raster.values.tolist()
        torch.testing.assert_close(one.features, last[number][alive][raster.indices], rtol=1e-3, atol=1e-3)


def test_through_the_engine(qwen2_5_vl: Path, tmp_path: Path) -> None:
    """Windows and merged patches: every image keeps its share, and tokens stand at their own cells."""
    save(KeepScores(width=32, inner=8, stages=2), tmp_path / "w")
    pages = [Picture.open(tiny.page(*size)) for size in ((301, 203), (140, 112))]
    spec = {"name": "dynamicvit", "weights": str(tmp_path / "w"), "keep": 0.5}
    with HF(model=str(qwen2_5_vl), reduction=spec).open() as engine:
        prepared = [engine.prepare(page) for page in pages]
        found = engine.encode(prepared)
    for one, item in zip(found, prepared, strict=True):
        assert len(one) == len(item.grid) // 2 // 2
        cells = set(zip(one.grid.row.tolist(), one.grid.col.tolist(), strict=True))
        assert len(cells) == len(one)
    with pytest.raises(ConfigError, match="trained for towers 16 wide; this one is 32"):
        save(KeepScores(width=16, inner=8, stages=2), tmp_path / "n")
        with HF(model=str(qwen2_5_vl), reduction={**spec, "weights": str(tmp_path / "n")}).open() as engine:
            engine.encode([engine.prepare(pages[0])])
