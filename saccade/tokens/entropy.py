"""Token entropy, and a guard that uses it: merges are undone where means lose too much of what set tokens apart."""

import torch
from torch import Tensor

from saccade.types import Selection

WIDTH = 64  # of the features that entropy is taken of
ROUNDING = 1e-6  # nats


def token_entropy(tokens: Tensor) -> Tensor:
    """() nats: -sum p ln p over the eigenvalues p of the mean outer product of tokens (K, d), scaled to length 1.

    0 when all are alike, the logarithm of their number when they are orthogonal (von Neumann entropy). Zero tokens do
    not count.
    """
    unit = torch.nn.functional.normalize(tokens.double(), dim=-1)
    unit = unit[unit.square().sum(-1) > 0]
    if len(unit) == 0:
        return tokens.new_zeros(())
    share = torch.linalg.eigvalsh(unit.mT @ unit / len(unit)).clamp(min=0)
    return -torch.xlogy(share, share).sum().clamp(max=0)


def unmixed(selection: Selection, unit: Tensor, floor: float) -> Selection:
    """A selection that merges, with as few of its means undone as hold `floor` of what as many tokens hold unmerged.

    `unit` (N, d) of length 1. A mean that is undone is the token that names it, as it is; what had gone into it is
    dropped. The most mixed one, whose mean is shortest, is undone first; how many is found by halving. With nothing
    left to undo it is pruning. (The page's own entropy is no measure here: most of a page is paper, and any choice of
    print holds more than the page.)
    """
    named = unit[selection.index]
    needed = floor * float(token_entropy(named))
    mean = selection.mean(unit)
    if float(token_entropy(mean)) >= needed - ROUNDING:
        return selection
    order = mean.norm(dim=-1).argsort(stable=True)
    low, high = 0, int((selection.counts > 1).sum())  # low undone are too few, high are enough
    while high - low > 1:
        middle = (low + high) // 2
        tokens = mean.index_copy(0, order[:middle], named[order[:middle]])
        enough = float(token_entropy(tokens)) >= needed - ROUNDING
        low, high = (low, middle) if enough else (middle, high)
    undone = torch.zeros(len(selection), dtype=torch.bool, device=unit.device).index_fill(0, order[:high], True)
    source = selection.source.masked_fill(undone[selection.source.clamp(min=0)], -1)
    source[selection.index] = torch.arange(len(selection), device=source.device)
    return Selection(selection.index, source, selection.weight)
