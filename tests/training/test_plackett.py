"""Sets drawn without replacement: exact probabilities, the true gradient on average, and the known optimum reached."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from saccade.training.plackett import clipped_loss, draw, entropy, leave_one_out, log_probability, outcome_loss

N, KEEP = 5, 2
EVERY = torch.tensor(list(itertools.permutations(range(N), KEEP)))  # (20, 2) all ordered draws
ALL = torch.ones(N, dtype=torch.bool)
LOGITS = torch.tensor([0.3, -1.0, 0.8, 0.0, -0.4])


def reward(order: Tensor) -> Tensor:
    """A known problem: tokens 1 and 4 together are worth 1, one of them 0.2, none -0.2."""
    good = ((order == 1) | (order == 4)).sum(-1)
    return torch.tensor([-0.2, 0.2, 1.0])[good]


def expected(logits: Tensor) -> Tensor:
    """The expected reward, by going through every draw."""
    return (log_probability(logits, ALL, EVERY).exp() * reward(EVERY)).sum()


def test_the_probability_is_the_product_of_its_draws() -> None:
    for order in EVERY.tolist():
        left, p = list(range(N)), 1.0
        for token in order:
            p *= math.exp(LOGITS[token]) / sum(math.exp(LOGITS[other]) for other in left)
            left.remove(token)
        assert float(log_probability(LOGITS, ALL, torch.tensor([order]))) == pytest.approx(math.log(p), abs=1e-5)
    assert float(log_probability(LOGITS, ALL, EVERY).exp().sum()) == pytest.approx(1)


def test_all_tokens_drawn_and_absent_ones_have_finite_gradients() -> None:
    logits, present = LOGITS.clone().requires_grad_(), torch.tensor([True, True, False, True, True])
    order = draw(logits, present, 9, 3, torch.Generator().manual_seed(0))
    assert order.shape == (3, 4) and not (order == 2).any()
    log_probability(logits, present, order).sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all() and logits.grad[2] == 0


def test_draws_are_as_likely_as_they_say() -> None:
    drawn = draw(LOGITS, ALL, KEEP, 40_000, torch.Generator().manual_seed(0))
    says = log_probability(LOGITS, ALL, EVERY).exp()
    for order, p in zip(EVERY, says.tolist(), strict=True):
        share = float((drawn == order).all(-1).float().mean())
        assert share == pytest.approx(p, abs=4 * math.sqrt(p / 40_000))


def test_the_gradient_is_the_true_one_on_average() -> None:
    """Exactly, over every pair of draws: no sampling is left to blame."""
    logits = LOGITS.clone().requires_grad_()
    (true,) = torch.autograd.grad(expected(logits), logits)
    log_p = log_probability(logits, ALL, EVERY)
    likely, found = log_p.exp().detach(), torch.zeros(N)
    for first, second in itertools.product(range(len(EVERY)), repeat=2):
        both = [first, second]
        loss = outcome_loss(log_p[both], leave_one_out(reward(EVERY[both])))
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        found -= likely[first] * likely[second] * gradient
    assert torch.allclose(found, true, atol=1e-5)


@pytest.mark.parametrize("clip", [None, 0.2])
def test_it_finds_the_known_optimum(clip: float | None) -> None:
    logits, make = torch.zeros(N, requires_grad=True), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    start = float(expected(logits.detach()))
    for _ in range(150):
        order = draw(logits, ALL, KEEP, 8, make)
        before, advantage = log_probability(logits.detach(), ALL, order), leave_one_out(reward(order))
        for _ in range(1 if clip is None else 3):
            log_p = log_probability(logits, ALL, order)
            loss = outcome_loss(log_p, advantage) if clip is None else clipped_loss(log_p, before, advantage, clip)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert start < 0.2 < 0.9 < float(expected(logits.detach()))
    assert set(logits.detach().topk(2).indices.tolist()) == {1, 4}


def test_the_baseline_is_the_mean_of_the_others() -> None:
    assert leave_one_out(torch.tensor([1.0, 2.0, 6.0])).tolist() == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5])


def test_clipping_by_hand() -> None:
    log_p = torch.log(torch.tensor([1.5, 0.5, 1.1])).requires_grad_()
    advantage = torch.tensor([1.0, -1.0, 1.0])
    loss = clipped_loss(log_p, torch.zeros(3), advantage, 0.2)
    assert float(loss.detach()) == pytest.approx(-(1.2 - 0.8 + 1.1) / 3)
    loss.backward()  # the first two have gone far enough: only the third is moved
    assert log_p.grad is not None and log_p.grad.tolist() == pytest.approx([0, 0, -1.1 / 3])


def test_entropy_by_hand() -> None:
    assert float(entropy(torch.zeros(5), torch.tensor([1, 1, 1, 1, 0]).bool())) == pytest.approx(math.log(4))
    assert float(entropy(torch.tensor([50.0, 0.0]), torch.ones(2).bool())) == pytest.approx(0, abs=1e-6)
