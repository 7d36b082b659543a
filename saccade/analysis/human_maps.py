"""Agreement of a scorer with people's fixations: NSS and AUC against a map of where people looked.

Both are computed over tokens, with the map as a density: single fixations drawn from it give the same on average.
B images, N tokens.
"""

import torch
from torch import Tensor


def nss(score: Tensor, looked: Tensor, present: Tensor) -> Tensor:
    """(B,) normalised scanpath saliency: the mean of a score (B, N), at mean 0 and deviation 1 over an image's tokens,
    where people look (B, N) >= 0 (Peters et al. 2005). 0 is chance; 0 where the score is the same everywhere."""
    count = present.sum(-1, keepdim=True).clamp(min=1)
    score = score.float().masked_fill(~present, 0.0)
    centred = (score - score.sum(-1, keepdim=True) / count).masked_fill(~present, 0.0)
    deviation = (centred.square().sum(-1, keepdim=True) / count).sqrt()
    weight = looked.float().masked_fill(~present, 0.0)
    weight = weight / weight.sum(-1, keepdim=True).clamp(min=1e-12)
    return (centred / deviation.clamp(min=1e-12) * weight).sum(-1)


def auc(score: Tensor, looked: Tensor, present: Tensor) -> Tensor:
    """(B,) how often the score (B, N) is higher at a token that people look at, drawn by their map (B, N), than at any
    other drawn evenly; half for equals. 0.5 is chance (AUC-Judd, Bylinskii et al. 2018, of a density)."""
    areas = []
    for values, weight, is_token in zip(score.float(), looked.float(), present, strict=True):
        values, weight = values[is_token], weight[is_token]
        ordered = values.sort().values
        below = torch.searchsorted(ordered, values.contiguous())
        equal = torch.searchsorted(ordered, values.contiguous(), right=True) - below - 1  # itself is no other
        share = (below + 0.5 * equal) / max(1, len(values) - 1)
        areas.append((share * weight).sum() / weight.sum().clamp(min=1e-12))
    return torch.stack(areas)
