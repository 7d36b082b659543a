"""Policy gradients for choosing tokens: Plackett-Luce draws and their losses, as functions of logits.

A look draws K of N tokens without replacement, one after the other, each time in proportion to exp(logit) among what is
left: a Plackett-Luce draw. Its probability is exact, the product of its steps' probabilities; taking the K highest of
logits plus Gumbel noise draws the same way (Yellott 1977; Kool et al. 2019). The reward of a draw reaches the logits by
the score-function estimator, with the mean of the other draws of the question as its baseline (leave-one-out).

N tokens, K drawn, S draws of one question.
"""

import torch
from torch import Tensor

NEVER = -1e9
"""Stands for minus infinity where gradients pass: its exponential is 0 and its gradient is no nan."""


def draw(logits: Tensor, present: Tensor, keep: int, num: int, generator: torch.Generator) -> Tensor:
    """(S, K) int64: `num` ordered draws of up to `keep` tokens by logits (N,), among those `present` (N,) bool."""
    uniform = torch.rand(num, len(logits), generator=generator).to(logits.device).clamp(1e-20, 1 - 1e-7)
    noisy = logits.detach().float().masked_fill(~present, float("-inf")) - (-uniform.log()).log()
    return noisy.topk(min(keep, int(present.sum())), dim=-1).indices


def log_probability(logits: Tensor, present: Tensor, order: Tensor) -> Tensor:
    """(S,) log-probability of ordered draws (S, K) by logits (N,); its gradient is exact.

    log p = sum_i [logit of the i-th - logsumexp of all that were left when it was drawn].
    """
    logits = logits.float().masked_fill(~present, NEVER)
    chosen = logits[order]  # (S, K)
    left = logits.expand(len(order), -1).scatter(1, order, NEVER)
    never = left.logsumexp(-1, keepdim=True)  # of what was never drawn
    backwards = torch.cat([never, chosen.flip(-1)], -1).logcumsumexp(-1)[:, 1:]
    return (chosen - backwards.flip(-1)).sum(-1)


def leave_one_out(rewards: Tensor) -> Tensor:
    """(S,) how much better each draw did than the mean of the others: an unbiased baseline, for S of at least 2."""
    return (rewards - rewards.mean()) * (len(rewards) / (len(rewards) - 1))


def outcome_loss(log_p: Tensor, advantage: Tensor) -> Tensor:
    """() whose gradient is minus the gradient of the expected reward, on average (REINFORCE, Williams 1992)."""
    return -(advantage.detach() * log_p).mean()


def clipped_loss(log_p: Tensor, before: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's loss (Schulman et al. 2017): draws of an earlier policy with log-probability `before` (S,) are used again,
    and gain nothing from becoming more than 1 + clip times as likely, or less than 1 - clip."""
    ratio = (log_p - before.detach()).exp()
    advantage = advantage.detach()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def entropy(logits: Tensor, present: Tensor) -> Tensor:
    """() nats of the softmax of logits (N,) over what is present: high where a head cannot say where to look."""
    log_p = logits.float().masked_fill(~present, NEVER).log_softmax(-1)
    return -(log_p.exp() * log_p).sum()
