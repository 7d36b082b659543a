"""The learned budget: its loss by hand, that it learns, that it is saved and refused where it does not fit."""

from pathlib import Path

import pytest
import torch

from saccade.budgets.predicted import Predicted
from saccade.errors import ConfigError
from saccade.heads.budget import BudgetNet
from saccade.heads.files import load, save
from saccade.training.budget import loss
from saccade.training.fit import fit
from saccade.types import Scene
from tests.helpers import item


def trained(net: BudgetNet, features: torch.Tensor, task: torch.Tensor, target_tok: float) -> list[float]:
    """The loss after each of 300 steps on all of these."""
    return fit(net, (loss(net, features, task, target_tok, 1.0) for _ in range(300)), 300, 3e-3)


def busy_or_blank(num: int) -> tuple[Scene, torch.Tensor]:
    """Pages whose tokens are all alike, or all different, and which of them are busy."""
    make = torch.Generator().manual_seed(0)
    items, busy = [], []
    for number in range(num):
        busy.append(number % 2)
        tokens = torch.randn(1, 6, generator=make).expand(20, 6) + busy[-1] * torch.randn(20, 6, generator=make)
        items.append(item(4, 5, seed=number, tokens=tokens))
    return Scene.of(items), torch.tensor(busy)


def test_loss_by_hand():
    net = BudgetNet(6, (100, 300))  # untrained: 1/2 each, 200 tokens expected
    features, task = torch.randn(2, 19), torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    assert loss(net, features, task, 160, 2.0).item() == pytest.approx(0.5 + 2 * (200 / 160 - 1) ** 2)
    assert net.expected_tok(torch.tensor([[0.25, 0.75]])).tolist() == [250]


def test_it_learns_to_spend_where_it_helps(tmp_path: Path):
    torch.manual_seed(0)
    scene, busy = busy_or_blank(64)
    net = BudgetNet(6, (100, 300), inner=16)
    task = torch.stack([busy.float(), torch.zeros(64)], 1)  # busy pages fail with 100 tokens, blank ones never do
    curve = trained(net, net.features(scene), task, 200)
    assert curve[0] > 0.2 and curve[-1] < 0.05
    save(net, tmp_path / "budget", target_tok=200)
    fresh, truth = busy_or_blank(40)
    found = Predicted(weights=str(tmp_path / "budget"))(fresh)
    assert sum(tokens == 100 + 200 * int(b) for tokens, b in zip(found, truth, strict=True)) >= 38
    assert Predicted(weights=str(tmp_path / "budget"), most=150)(fresh) == [min(150, tokens) for tokens in found]
    assert torch.equal(load(BudgetNet, tmp_path / "budget")(net.features(fresh)), net(net.features(fresh)))


def test_a_target_is_kept_when_tokens_do_not_help():
    torch.manual_seed(0)
    net, features = BudgetNet(6, (100, 300)), torch.randn(32, 19)
    trained(net, features, torch.zeros(32, 2), 150)
    assert net.expected_tok(net(features)).mean().item() == pytest.approx(150, rel=0.03)


def test_what_does_not_fit_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="rising"):
        BudgetNet(6, (300, 100))
    with pytest.raises(ConfigError, match="holds no BudgetNet"):
        Predicted(weights=str(tmp_path))(Scene.of([item(2, 2)]))
    save(BudgetNet(7), tmp_path / "wide")
    with pytest.raises(ConfigError, match="width 7; this model's are 6"):
        Predicted(weights=str(tmp_path / "wide"))(Scene.of([item(2, 2)]))
