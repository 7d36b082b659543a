"""The loop that all small trainings share."""

import pytest
import torch
from torch import nn

from saccade.training.fit import fit


def test_it_finds_the_least_squares() -> None:
    """y = 2 x: the weight goes there from 0, and each loss is asked for after the step before it."""
    module, x = nn.Linear(1, 1, bias=False), torch.linspace(-1, 1, 9).unsqueeze(1)
    nn.init.zeros_(module.weight)
    losses = ((module(x) - 2 * x).square().mean() for _ in range(400))
    curve = fit(module, losses, 400, 0.05)
    assert module.weight.item() == pytest.approx(2, abs=1e-2)
    assert curve[0] == pytest.approx(float(4 * x.square().mean())) and curve[-1] < 1e-4
    assert not module.training


def test_fewer_losses_are_fewer_steps_and_none_too_many_are_asked_for() -> None:
    module, asked = nn.Linear(1, 1), []

    def losses():
        for number in range(5):
            asked.append(number)
            yield module.weight.sum()

    assert len(fit(module, losses(), 9, 0.1)) == 5
    asked.clear()
    assert len(fit(module, losses(), 3, 0.1)) == 3 and asked == [0, 1, 2]


def test_parameters_of_others_are_trained_only_where_named() -> None:
    module, other, left = nn.Linear(1, 1), nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    fit(module, (module.weight.sum() + other.sum() + left.sum() for _ in range(2)), 2, 0.1, also=[other])
    assert other.item() < 1 and left.item() == 1
