"""Trains the learned budget: the expected task loss, and what straying from a target number of tokens costs.

L = sum_k p_k loss_k + lambda ((tokens / target) - 1)^2, where p is the network's distribution over budgets, loss_k the
measured loss of an image and question at budget k (for instance 1 - ANLS at each budget, in evaluation mode), and
tokens the mean of sum_k p_k tokens_k over the batch: easy pictures may pay for hard ones. Expectations instead of
samples, so that the gradient is exact; a prediction rounded to a whole number of tokens would have none.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from saccade.heads.budget import BudgetNet
from saccade.training.fit import fit


def loss(net: BudgetNet, features: Tensor, task: Tensor, target_tok: float, weight: float) -> Tensor:
    """() of features (B, F) and the task's losses (B, len(levels)) at each budget."""
    probability = net(features)
    over: Tensor = net.expected_tok(probability).mean() / target_tok - 1
    cost: Tensor = (probability * task).sum(-1).mean()
    return cost + weight * over.square()


def train_budget(
    net: BudgetNet,
    features: Tensor,
    task: Tensor,
    target_tok: float,
    *,
    weight: float = 1.0,
    steps: int = 300,
    batch: int = 64,
    rate: float = 3e-3,
    seed: int = 0,
) -> list[float]:
    """Trains in place on features (n, F) and losses (n, len(levels)); the loss after every step."""
    chosen = _batches(len(features), batch, seed)
    losses = (loss(net, features[some], task[some], target_tok, weight) for some in chosen)
    return fit(net, losses, steps, rate)


def _batches(num: int, batch: int, seed: int) -> Iterator[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randperm(num, generator=draw)[:batch]
