"""Sharing a number of tokens out: ranks within groups, and seats by mass (Webster's method) with room respected."""

import torch
from torch import Tensor


def rank_within(score: Tensor, owner: Tensor) -> Tensor:
    """(T,) int64: place of each token by score among those of its owner (T,) int64 >= 0, 0 = highest, ties in order."""
    order = torch.argsort(score, descending=True, stable=True)
    order = order[torch.argsort(owner[order], stable=True)]  # by owner, then by score
    counts = torch.bincount(owner)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[owner[order]]
    return rank


def apportion(score: Tensor, owner: Tensor, mass: Tensor, keep: int) -> Tensor:
    """(T,) bool: min(keep, T) tokens, each owner's best by score, its number in proportion to its mass (P,) >= 0.

    Sainte-Lague's (Webster's) method of giving out seats, in one sort: an owner's r-th token, from 0, bids
    mass / (r + 1/2), and the highest bids win. It gives away exactly `keep`, and what an owner has no tokens for goes
    to the others. Where nobody has any mass, owners are equal.
    """
    if keep >= len(score):
        return torch.ones_like(score, dtype=torch.bool)
    weight = mass.double()
    weight = torch.ones_like(weight) if float(weight.sum()) <= 0 else weight
    rank = rank_within(score, owner)
    bids = weight[owner] / (rank + 0.5)
    chosen = torch.zeros_like(score, dtype=torch.bool)
    order = torch.argsort(score, descending=True, stable=True)  # equal bids: the higher score
    chosen[order[torch.argsort(bids[order], descending=True, stable=True)[:keep]]] = True
    return chosen
