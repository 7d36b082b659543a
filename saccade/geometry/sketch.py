"""Short unit vectors that stand for tokens' features where only their cosines are asked for.

Wide features are folded to `num_dims` by signed sums (feature hashing: Weinberger et al. 2009; Charikar, Chen &
Farach-Colton 2002): cosines keep their value on average, distances to about sqrt(2 / num_dims) of themselves. Features
that are no wider are used as they are.
"""

import torch
from torch import Tensor

from saccade.geometry.noise import mix

SIGN_BIT = 40  # of a hash
CHUNK_TOK = 2048  # tokens folded at once: they stay in the processor's cache


def unit_sketch(tokens: Tensor, num_dims: int) -> Tensor:
    """(..., D) -> (..., min(D, num_dims)) float32 of length 1; zero where the features are zero."""
    width = tokens.shape[-1]
    if width <= num_dims:
        return torch.nn.functional.normalize(tokens.float(), dim=-1)
    bits = mix(torch.arange(width, device=tokens.device))
    sign = ((bits >> SIGN_BIT) & 1).float() * 2 - 1  # (D,)
    made = torch.empty(*tokens.shape[:-1], num_dims, device=tokens.device)
    parts = (torch.split(values.reshape(-1, values.shape[-1]), CHUNK_TOK) for values in (tokens, made))
    for some, short in zip(*parts, strict=True):
        torch.mul(some[:, :num_dims].float(), sign[:num_dims], out=short)
        for start in range(num_dims, width, num_dims):
            fold = some[:, start : start + num_dims].float()
            short[:, : fold.shape[-1]].addcmul_(fold, sign[start : start + num_dims])
        short.div_(short.norm(dim=-1, keepdim=True).clamp_(min=1e-12))
    return made
