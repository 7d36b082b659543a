"""How alike tokens are to words and to each other: cosines, products, distances; all pairs in chunks."""

import torch
from torch import Tensor

TINY = 1e-12
"""Length below which a vector counts as zero, as in `torch.nn.functional.normalize`."""
PAIR_BYTES = 16 * 2**20
"""Of similarities or distances between tokens that are held at once."""


def cosine(tokens: Tensor, words: Tensor) -> Tensor:
    """(B, N, T) cosine of tokens (B, N, D) with words (B, T, D); 0 where either is zero."""
    a, b = tokens.float(), words.float()
    length: Tensor = torch.linalg.vector_norm(a, dim=-1, keepdim=True)  # divided by afterwards: tokens are not copied
    unit = torch.nn.functional.normalize(b, dim=-1).transpose(-1, -2)
    return a @ unit / length.clamp(min=TINY)


def scaled_product(tokens: Tensor, words: Tensor) -> Tensor:
    """(B, N, T) float32 v . t / sqrt(D), as attention scales it, of tokens (B, N, D) with words (B, T, D)."""
    product: Tensor = tokens.float() @ words.float().transpose(1, 2) / words.shape[-1] ** 0.5
    return product


def over_words(similarity: Tensor, weight: Tensor, how: str) -> Tensor:
    """(B, N) of similarities (B, N, T) and word weights (B, T) in [0, 1]: the best word ("max"), or their "mean".

    A word of weight w counts w times its similarity where that is positive, and at w = 0 (padding, or found) not at
    all: min(w s, s), because a lower weight makes a match less relevant, but a mismatch no less of one.
    """
    weight = weight.float().unsqueeze(1)  # (B, 1, T)
    if how == "mean":
        return (similarity * weight).sum(-1) / weight.sum(-1).clamp(min=1e-9)
    best = torch.minimum(similarity * weight, similarity).masked_fill(weight == 0, float("-inf"))
    if best.shape[-1] == 0:
        return best.new_zeros(best.shape[:-1])
    return best.amax(-1).masked_fill((weight == 0).all(-1), 0.0)


def mean_vector(vectors: Tensor, present: Tensor) -> Tensor:
    """(B, 1, C) float32 mean over the real tokens of each image: vectors (B, N, C), present (B, N)."""
    share = present.float() / present.sum(-1, keepdim=True).clamp(min=1)
    return share.unsqueeze(1) @ vectors.float()


def mean_cosine(vectors: Tensor, present: Tensor) -> Tensor:
    """(B, N) float32: mean cosine of each token with all other real tokens of its image; 0 if there is no other.

    Exact without N x N values: a mean of cosines is the dot product with the mean of the unit vectors.
    """
    values = vectors.float()
    length = torch.linalg.vector_norm(values, dim=-1)  # unit vectors are never made: these are their weights
    scale = torch.where(present & (length > TINY), 1 / length.clamp(min=TINY), 0.0)
    total = scale.unsqueeze(1) @ values  # (B, 1, C) the sum of the unit vectors
    others = (values @ total.transpose(1, 2)).squeeze(-1) * scale - (scale > 0).float()
    return others / (present.sum(-1, keepdim=True) - 1).clamp(min=1)


def nearest_cosine(vectors: Tensor, present: Tensor, count: int) -> Tensor:
    """(B, N) float32: mean cosine of each token with the `count` most similar other real tokens of its image.

    Similarities are made in chunks of rows; fewer others than `count`: all of them; none: 0.
    """
    unit = torch.nn.functional.normalize(vectors.float(), dim=-1)
    nearest, num = unit.new_zeros(unit.shape[:2]), min(count, unit.shape[1] - 1)
    if num < 1:
        return nearest
    for start, rows in _row_chunks(unit):
        similar = (rows @ unit.transpose(1, 2)).masked_fill_(~present.unsqueeze(1), float("-inf"))
        similar[:, torch.arange(rows.shape[1]), torch.arange(start, start + rows.shape[1])] = float("-inf")
        best = similar.topk(num, dim=-1).values
        real = best.isfinite()
        mean = best.masked_fill(~real, 0.0).sum(-1) / real.sum(-1).clamp(min=1)
        nearest[:, start : start + rows.shape[1]] = mean
    return nearest


def mean_distances(vectors: Tensor, present: Tensor) -> Tensor:
    """(B, N) float32: mean Euclidean distance of each token to all real tokens of its image, itself included.

    N x N distances, in chunks of rows. Vectors are first moved to their mean, by way of the first token, so that equal
    ones are exactly 0 apart.
    """
    apart = vectors.float() - vectors[:, :1].float()
    apart -= mean_vector(apart, present)
    length = torch.linalg.vector_norm(apart, dim=-1).square()
    total = torch.empty_like(length)
    for start, rows in _row_chunks(apart):
        squares = length[:, start : start + rows.shape[1], None] + length[:, None]
        distance = torch.baddbmm(squares, rows, apart.transpose(1, 2), alpha=-2).clamp_(min=0).sqrt_()
        total[:, start : start + rows.shape[1]] = (distance @ present.float().unsqueeze(-1)).squeeze(-1)
    return total / present.sum(-1, keepdim=True).clamp(min=1)


def _row_chunks(vectors: Tensor) -> list[tuple[int, Tensor]]:
    """First index and rows (B, rows, C) of chunks whose comparison with all N tokens takes `PAIR_BYTES`."""
    rows = max(1, PAIR_BYTES // (4 * vectors.shape[0] * vectors.shape[1]))
    return [(number * rows, part) for number, part in enumerate(torch.split(vectors, rows, dim=1))]
