"""Short unit vectors that stand for tokens' features where only their cosines are asked for.

Wide features are folded to `num_dims` by signed sums (feature hashing: Weinberger et al. 2009; Charikar, Chen &
Farach-Colton 2002): cosines keep their value on average, distances to about sqrt(2 / num_dims) of themselves. Features
that are no wider are used as they are.
"""

import torch
from torch import Tensor

from saccade.tokens.noise import mix

SIGN_BIT = 40  # of a hash
CHUNK_TOK = 4096  # tokens folded at once: they stay in the processor's cache


def unit_sketch(tokens: Tensor, num_dims: int) -> Tensor:
    """(..., D) -> (..., min(D, num_dims)) float32 of length 1; zero where the features are zero."""
    width = tokens.shape[-1]
    if width <= num_dims:
        return torch.nn.functional.normalize(tokens.float(), dim=-1)
    bits = mix(torch.arange(width, device=tokens.device))
    sign = ((bits >> SIGN_BIT) & 1).float() * 2 - 1  # (D,)
    folds = width // num_dims
    whole, rest = sign[: folds * num_dims].view(folds, num_dims), sign[folds * num_dims :]
    sketch = torch.empty(*tokens.shape[:-1], num_dims, device=tokens.device)
    parts = (torch.split(values.reshape(-1, values.shape[-1]), CHUNK_TOK) for values in (tokens, sketch))
    for some, short in zip(*parts, strict=True):
        torch.sum(some[:, : whole.numel()].float().unflatten(1, whole.shape) * whole, 1, out=short)
        short[:, : len(rest)].addcmul_(some[:, whole.numel() :].float(), rest)
        short.div_(short.norm(dim=-1, keepdim=True).clamp_(min=1e-12))
    return sketch
