"""Short unit vectors that stand for tokens' features where only their cosines are asked for.

Wide features are folded to `num_dims` by signed sums (feature hashing: Weinberger et al. 2009; Charikar, Chen &
Farach-Colton 2002): cosines keep their value on average, distances to about sqrt(2 / num_dims) of themselves. Features
that are no wider are used as they are.
"""

import torch
from torch import Tensor

from saccade.geometry.noise import mix

SIGN_BIT = 40  # of a hash


def unit_sketch(tokens: Tensor, num_dims: int) -> Tensor:
    """(..., D) -> (..., min(D, num_dims)) float32 of length 1; zero where the features are zero."""
    width = tokens.shape[-1]
    if width <= num_dims:
        return torch.nn.functional.normalize(tokens.float(), dim=-1)
    bits = mix(torch.arange(width, device=tokens.device))
    sign = ((bits >> SIGN_BIT) & 1).float() * 2 - 1  # (D,)
    made = torch.zeros(*tokens.shape[:-1], num_dims, device=tokens.device)
    for start in range(0, width, num_dims):  # a few folds; all at once would be a copy of the features
        fold = tokens[..., start : start + num_dims].float()
        made[..., : fold.shape[-1]].addcmul_(fold, sign[start : start + num_dims])
    return made.div_(made.norm(dim=-1, keepdim=True).clamp_(min=1e-12))
