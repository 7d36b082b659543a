"""The learned level allocator: where it starts, that gradients reach it, that training moves it, its files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from saccade.budgets.allocator import Allocator
from saccade.errors import ConfigError
from saccade.geometry.levels import counts, ideal_counts, level_masks, soft_keep
from saccade.heads.allocator import START, LevelNet
from saccade.heads.files import load, save
from saccade.training.fit import fit
from saccade.training.pyramid import LevelExample, allocator_loss
from saccade.types import Query, Scene
from tests.helpers import importance_of, shuffled
from tests.levels import pyramid_item


def room_of(scene: Scene, levels: int = 3) -> torch.Tensor:
    return level_masks(scene.level, scene.valid, levels).sum(-1).T


def test_untrained_it_gives_the_shares_it_starts_from() -> None:
    scene = Scene.of([pyramid_item(8, 8, levels=4), pyramid_item(8, 8, levels=4, seed=1)])
    net = LevelNet(6)
    assert torch.allclose(net(scene), torch.tensor([START, START]), atol=1e-6)
    assert torch.allclose(Allocator().shares(scene), net(scene), atol=1e-6)


def test_whole_counts_have_no_gradient_and_soft_ones_have() -> None:
    """The seed's `(softmax(logits) * budget).int()`: no loss can reach the logits. Here it does."""
    scene, importance = Scene.of([pyramid_item(8, 8, levels=3)]), importance_of(84)
    logits = torch.zeros(1, 3, requires_grad=True)
    assert not (logits.softmax(-1) * 20).int().requires_grad
    kept = soft_keep(importance, scene.level, scene.valid, logits.softmax(-1), 20)
    (kept * (scene.level == 0)).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] > 0 > logits.grad[0, 1]  # more for the fine level keeps more fine tokens, at others' cost


def test_forward_it_keeps_whole_tokens_the_best_of_each_level() -> None:
    scene, importance = Scene.of([pyramid_item(8, 8, levels=3)]), importance_of(84)
    shares = torch.tensor([[0.5, 0.3, 0.2]])
    kept = soft_keep(importance, scene.level, scene.valid, shares, 20)[0]
    assert set(kept.tolist()) == {0.0, 1.0}
    assert kept.sum() == 20
    for level, number in enumerate(counts(shares, 20, room_of(scene))[0].tolist()):
        here = (scene.level[0] == level).nonzero().flatten()
        best = here[importance[0, here].argsort(descending=True)[:number]]
        assert sorted(best.tolist()) == [i for i in here.tolist() if kept[i] == 1]


def test_the_gradient_of_the_counts_is_the_true_one() -> None:
    """Shares with an overflow: against finite differences."""
    room = torch.tensor([[40, 20, 3]])
    shares = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: ideal_counts(s, 20, room), (shares,))
    assert ideal_counts(shares, 20, room)[0].tolist() == pytest.approx([17 * 0.4, 17 * 0.6, 3])


def examples(seeds: range) -> list[LevelExample]:
    """Two kinds of question: the answer to one lies in full resolution, to the other in the coarse levels."""
    words, made = torch.eye(6), []
    for seed in seeds:
        fine = seed % 2 == 0
        picture, encoding, _ = pyramid_item(8, 8, levels=3, seed=seed)
        asked = words[:2] if fine else words[2:4]
        scene = Scene.of([(picture, encoding, Query("?", asked, torch.ones(2)))])
        importance = importance_of(84, seed=seed)
        useful = (scene.level == 0) & (importance > 0.6) if fine else scene.level > 0
        made.append((scene, importance, useful.float()))
    return made


def test_training_moves_it_by_the_question() -> None:
    torch.manual_seed(0)
    net = LevelNet(6, levels=3, start=(0.2, 0.3, 0.5))
    before = net(examples(range(1))[0][0])[0].detach()
    lessons = (allocator_loss(net, *example, 20, 4.0) for example in shuffled(examples(range(16))))
    losses = fit(net, lessons, 150, 1e-2, weight_decay=0.01)
    fine, coarse = (net(example[0])[0] for example in examples(range(100, 102)))
    assert fine[0] > 0.7 > 0.4 > coarse[0]
    assert float(before[0]) == pytest.approx(0.2)
    held = examples(range(100, 110))

    def lost(shares: torch.Tensor, example: LevelExample) -> float:
        scene, importance, useful = example
        kept = soft_keep(importance, scene.level, scene.valid, shares, 20)
        return 1 - float((kept * useful).sum() / useful.sum())

    trained = sum(lost(net(example[0]).detach(), example) for example in held) / 10
    fixed = sum(lost(torch.tensor([[0.2, 0.3, 0.5]]), example) for example in held) / 10
    assert trained < fixed - 0.1
    assert sum(losses[-20:]) < sum(losses[:20])


def test_a_saved_allocator_is_the_strategy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = LevelNet(6)
    torch.nn.init.normal_(net.last.weight)
    save(net, tmp_path, data="a test")
    scene = Scene.of([pyramid_item(8, 8, levels=4)])
    again = load(LevelNet, tmp_path)
    assert again.sizes == {**net.sizes, "start": again.start}
    assert torch.equal(again(scene), net(scene))
    shares = Allocator(weights=str(tmp_path)).shares(scene)
    assert torch.allclose(shares, net(scene), atol=1e-6)
    assert not shares.requires_grad
    assert not torch.allclose(shares, torch.tensor([START]), atol=1e-3)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    scene = Scene.of([pyramid_item(8, 8, levels=2)])
    with pytest.raises(ConfigError, match="holds no LevelNet"):
        Allocator(weights=str(tmp_path / "nothing")).shares(scene)
    save(LevelNet(7), tmp_path)
    with pytest.raises(ConfigError, match="words of width 7; this model's are 6"):
        Allocator(weights=str(tmp_path)).shares(scene)
    with pytest.raises(ConfigError, match="positive shares"):
        LevelNet(6, levels=3)
    (tmp_path / "module.json").write_text('{"kind": "Other", "sizes": {}}')
    with pytest.raises(ConfigError, match="holds a Other, not a LevelNet"):
        load(LevelNet, tmp_path)


def test_padding_does_not_move_it() -> None:
    torch.manual_seed(1)
    net = LevelNet(6, levels=3, start=(0.3, 0.3, 0.4))
    torch.nn.init.normal_(net.last.weight)
    small, big = pyramid_item(4, 4, levels=2), pyramid_item(8, 8, levels=3)
    long = replace(big[2], tokens=torch.randn(7, 6), weight=torch.ones(7))
    together = net(Scene.of([small, (big[0], big[1], long)]))
    assert torch.allclose(together[0], net(Scene.of([small]))[0], atol=1e-6)
