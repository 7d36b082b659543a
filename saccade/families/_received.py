"""Attention received by each patch in one layer of a vision tower, without ever holding the whole attention matrix."""

import torch
from torch import Tensor

ATTENTION_CHUNK_BYTES = 64 * 2**20  # of attention weights held at once while they are summed


def received(query: Tensor, key: Tensor, scaling: float, size: Tensor | None = None) -> Tensor:
    """(patches,) float32: attention each patch of one image receives, mean over heads and queries.

    `query` and `key` are (heads, patches, head width) with positions in them. A merged patch counts `size` (patches,)
    times, as a query and as a key. Recomputed in chunks of queries, so that 16k patches never hold a 16k x 16k matrix.
    """
    heads, length = query.shape[:2]
    chunk = max(1, ATTENTION_CHUNK_BYTES // (4 * heads * length))
    total = query.new_zeros(key.shape[1]).float()
    if size is None:
        for some in torch.split(query, chunk, dim=1):
            total += ((some @ key.transpose(1, 2)) * scaling).softmax(-1, dtype=total.dtype).sum((0, 1))
        return total / (heads * length)
    bias = size.float().log()
    for some, count in zip(torch.split(query, chunk, dim=1), torch.split(size, chunk), strict=True):
        weights = ((some @ key.transpose(1, 2)).float() * scaling + bias).softmax(-1)
        total += (weights * count[:, None]).sum((0, 1))
    return total / (heads * size.sum())
