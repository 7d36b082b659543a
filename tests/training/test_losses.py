"""The four losses of heads, by hand."""

import math

import pytest
import torch

from saccade.training.losses import LOSSES, bce, listwise, mse, ranking

LOGITS = torch.tensor([[0.0, 0.0, 99.0], [1.0, 2.0, 3.0]])
TARGET = torch.tensor([[1.0, 0.0, 5.0], [0.0, 0.0, 0.0]])
PRESENT = torch.tensor([[True, True, False], [True] * 3])
"""Padding does not count, an image without a target neither: only the first two tokens of the first image do."""


@pytest.mark.parametrize(
    ("loss", "value"),
    [(listwise, math.log(2)), (mse, 0.25), (bce, math.log(2)), (ranking, math.log(2))],
    ids=["listwise", "mse", "bce", "ranking"],
)
def test_at_equal_logits(loss, value):
    assert float(loss(LOGITS, TARGET, PRESENT)) == pytest.approx(value)


def test_by_hand():
    logits, target = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[4.0, 2.0, 0.0]])
    present = torch.ones(1, 3).bool()
    p = [1 / (1 + math.exp(-value)) for value in (2.0, 0.0, -1.0)]
    squares = [(p[0] - 1) ** 2, (p[1] - 0.5) ** 2, p[2] ** 2]
    assert float(mse(logits, target, present)) == pytest.approx(sum(squares) / 3)
    crossed = [-math.log(p[0]), math.log(2), -math.log(1 - p[2])]
    weight = [(1 / 1.5) / 2, (0.5 / 1.5 + 0.5 / 1.5) / 2, (1 / 1.5) / 2]
    expected = sum(c * w for c, w in zip(crossed, weight, strict=True))
    assert float(bce(logits, target, present)) == pytest.approx(expected)
    pairs = {(0, 1): 0.5, (0, 2): 1.0, (1, 2): 0.5}  # better, other: how much better
    values = [2.0, 0.0, -1.0]
    found = sum(more * math.log1p(math.exp(values[b] - values[a])) for (a, b), more in pairs.items()) / 2
    assert float(ranking(logits, target, present)) == pytest.approx(found)


@pytest.mark.parametrize("name", LOSSES)
def test_a_better_order_costs_less_and_nothing_wanted_costs_nothing(name):
    target, present = torch.tensor([[1.0, 0.5, 0.0, 0.0]]), torch.ones(1, 4).bool()
    good, bad = torch.tensor([[3.0, 0.0, -3.0, -3.0]]), torch.tensor([[-3.0, -3.0, 0.0, 3.0]])
    assert LOSSES[name](good, target, present) < 0.5 * LOSSES[name](bad, target, present)
    assert float(LOSSES[name](good, torch.zeros(1, 4), present)) == 0
    logits = torch.zeros(1, 4, requires_grad=True)
    LOSSES[name](logits, target, torch.tensor([[True, True, True, False]])).backward()
    assert logits.grad.isfinite().all() and logits.grad[0, 3] == 0 and logits.grad[0, 0] < 0
