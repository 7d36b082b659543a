"""Cosines between all pairs of an image's tokens: a reduced matrix, a histogram, and each token's doubles."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

NUM_BINS = 200  # of the histogram, over cosines from -1 to 1
CHUNK = 1024  # rows of the matrix that exist at a time
SIDE = 512  # pixels of the drawn matrix, at most


@dataclass(frozen=True, slots=True)
class Likeness:
    """Cosines between all pairs of N tokens."""

    matrix: Tensor  # (S, S) float32: means over blocks of `block` x `block` pairs
    block: int
    counts: Tensor  # (NUM_BINS,) int64: pairs of two different tokens, each counted once in either order
    doubles: Tensor  # (N,) float32: share of the other tokens whose cosine with this one is above the threshold

    @property
    def redundant(self) -> float:
        """Share of pairs of different tokens above the threshold."""
        return float(self.doubles.mean())


def compare(tokens: Tensor, threshold: float) -> Likeness:
    """Cosines of tokens (N, D), in chunks of rows: 16,384 tokens never need their 16,384 x 16,384 matrix at once.

    The mean cosine of a block of pairs is the product of the mean directions of its rows and columns.
    """
    unit = normalize(tokens.detach().float().cpu(), dim=-1)
    num_tok = unit.shape[0]
    counts, doubles = torch.zeros(NUM_BINS, dtype=torch.int64), torch.zeros(num_tok)
    for start in range(0, num_tok, CHUNK):
        cosines = (unit[start : start + CHUNK] @ unit.T).clamp(-1, 1)
        own = torch.arange(start, min(start + CHUNK, num_tok)).unsqueeze(1)  # the column of a token with itself
        bins = ((cosines + 1) / 2 * NUM_BINS).long().clamp(max=NUM_BINS - 1)
        counts += torch.bincount(bins.flatten(), minlength=NUM_BINS)
        counts -= torch.bincount(bins.gather(1, own).flatten(), minlength=NUM_BINS)
        doubles[start : start + CHUNK] = (cosines.scatter(1, own, -1) > threshold).sum(-1).float()
    block = -(-num_tok // SIDE)
    groups = pad(unit, (0, 0, 0, -num_tok % block)).view(-1, block, unit.shape[1]).sum(1)
    sizes = torch.full((len(groups), 1), float(block))
    sizes[-1] = num_tok - block * (len(groups) - 1)
    mean = groups / sizes
    return Likeness(mean @ mean.T, block, counts, doubles / max(1, num_tok - 1))
