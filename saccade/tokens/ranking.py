"""Scores as ranks: scaled to [0, 1], ordered, and the best token of each bin."""

import torch
from torch import Tensor

CONSTANT = 1e-6
"""Spread relative to the largest value below which an image's scores are called constant: float32 rounding."""


def normalise(raw: Tensor, present: Tensor) -> Tensor:
    """Min-max over the real tokens of each image: (B, N) -> float32 in [0, 1], 0 at padding.

    A constant image gives zeros; rounding errors are not stretched into an order.
    """
    raw = raw.float()
    low = raw.masked_fill(~present, float("inf")).amin(-1, keepdim=True)
    high = raw.masked_fill(~present, float("-inf")).amax(-1, keepdim=True)
    spread = high - low
    constant = ~(spread > CONSTANT * torch.maximum(low.abs(), high.abs()))
    return ((raw - low) / spread).masked_fill(~present | constant, 0.0)


def rank(values: Tensor, valid: Tensor) -> Tensor:
    """(B, N) int64: 0 for the highest valid value, ties to the earlier token, invalid tokens last."""
    order = torch.argsort(values.masked_fill(~valid, float("-inf")), dim=-1, descending=True, stable=True)
    places = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


def first_of_bin(ranks: Tensor, bins: Tensor, num_bins: int) -> Tensor:
    """(B, N) bool: the token with the lowest rank (B, N) of each bin (B, N) in [0, num_bins)."""
    best = torch.full((ranks.shape[0], num_bins), ranks.shape[-1], device=ranks.device)
    best.scatter_reduce_(-1, bins, ranks, "amin")
    return ranks == best.gather(-1, bins)


def bins_first(ranks: Tensor, bins: Tensor, num_bins: int) -> Tensor:
    """(B, N) float32 priority: the best token of each bin by rank, then the others by rank."""
    num_tok = ranks.shape[-1]
    return (num_tok * first_of_bin(ranks, bins, num_bins) - ranks).float()  # exact: whole numbers below 2^24
