"""Losses of a head: four losses of logits (B, N) against the worth of each token, (B, N) >= 0.

`listwise` reads a target as shares of an image; the other three as values in [0, 1], the best token of an image at 1.
Images whose target is 0 everywhere count in none of them. B images with a question each, N tokens.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits, target, present bool), each (B, N) -> ()."""


def listwise(logits: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of the softmax over an image's tokens to its target (B, N) >= 0, mean over images that have one.

    ListNet's top-one loss (Cao et al. 2007): it ranks tokens of one image, and no image against another.
    """
    log_p = logits.masked_fill(~present, float("-inf")).log_softmax(-1)
    target = target.float().masked_fill(~present, 0.0)
    mass = target.sum(-1)
    loss = -(target * log_p.masked_fill(~present, 0.0)).sum(-1) / mass.clamp(min=1e-9)
    return (loss * (mass > 0)).sum() / (mass > 0).sum().clamp(min=1)


def mse(logits: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Mean squared difference of sigmoid(logit) from the target."""
    return _mean((logits.sigmoid() - _unit(target, present)).square(), target, present)


def bce(logits: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Binary cross-entropy of sigmoid(logit). What is worth something weighs as much as all the rest of its image:
    an answer is a few tokens of thousands."""
    worth = _unit(target, present)
    loss = binary_cross_entropy_with_logits(logits.masked_fill(~present, 0.0), worth, reduction="none")
    weight = worth / worth.sum(-1, keepdim=True).clamp(min=1e-9)
    other = (1 - worth) * present
    weight = (weight + other / other.sum(-1, keepdim=True).clamp(min=1e-9)) / 2
    some = _some(target, present)
    return ((loss * weight).sum(-1) * some).sum() / some.sum().clamp(min=1)


def ranking(logits: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """softplus(other - better) over all pairs of an image, weighed by how much better (RankNet: Burges et al. 2005).

    Computed on the tokens that are worth something against all: (A, N) pairs for A of them.
    """
    worth, total, images = _unit(target, present), logits.new_zeros(()), 0
    for image in range(len(logits)):
        here = present[image]
        own, values = worth[image][here], logits[image][here]
        better = own > 0
        if not bool(better.any()):
            continue
        more = (own[better].unsqueeze(1) - own.unsqueeze(0)).clamp(min=0)  # (A, N)
        pairs = softplus(values.unsqueeze(0) - values[better].unsqueeze(1)) * more
        total, images = total + pairs.sum() / more.sum().clamp(min=1e-9), images + 1
    return total / max(1, images)


def _some(target: Tensor, present: Tensor) -> Tensor:
    """(B,) bool: images whose target is not 0 everywhere."""
    return target.masked_fill(~present, 0.0).sum(-1) > 0


def _unit(target: Tensor, present: Tensor) -> Tensor:
    """The target with 1 at each image's best token."""
    target = target.float().masked_fill(~present, 0.0)
    return target / target.amax(-1, keepdim=True).clamp(min=1e-9)


def _mean(loss: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """The mean over an image's tokens, then over images that have a target."""
    some = _some(target, present)
    each = torch.where(present, loss, 0.0).sum(-1) / present.sum(-1).clamp(min=1)
    return (each * some).sum() / some.sum().clamp(min=1)


LOSSES: dict[str, Loss] = {"listwise": listwise, "mse": mse, "bce": bce, "ranking": ranking}
