"""Means that keep the norm (Token Fusion's MLERP: Kim et al. 2024, arXiv:2312.01026)."""

import torch
from torch import Tensor

from saccade.tokens.merging import merge


def fuse(values: Tensor, into: Tensor, weight: Tensor, num: int) -> Tensor:
    """(num, ..., F) of tokens (T, ..., F), each going `into` (T,) int64 a slot, -1 = dropped, with `weight` (T,) > 0.

    A slot points where the weighted mean of its tokens does, and is as long as the longest of them: plain means are
    shorter than what they are means of, and states that shrink are not what the next block has learned on. A token
    alone stays what it is, bit by bit.
    """
    mean = merge(values.float(), into, weight, num)
    kept = into >= 0
    norm = values.float().norm(dim=-1)  # (T, ...)
    where = into[kept].view(-1, *[1] * (norm.ndim - 1)).expand_as(norm[kept])
    longest = norm.new_zeros(num, *norm.shape[1:]).scatter_reduce(0, where, norm[kept], "amax")
    own = mean.norm(dim=-1)
    scale = torch.where(own > 1e-6 * longest, longest / own.clamp(min=1e-30), 1.0)  # opposite tokens point nowhere
    return (mean * scale.unsqueeze(-1)).to(values.dtype)
