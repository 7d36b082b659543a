"""A small convolution over the cells of a page, which judges a token by its surroundings, for heads that point.

A label is more than one token, and an answer stands beside or below its label: evidence for both has to travel over
the page. The kernels are wide, because values stand far to the right of their labels.

B images, N tokens, C channels, R x S cells.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

CELLS = 128  # sides of the largest map; a larger page is folded onto it, cells that meet are averaged


class Surroundings(nn.Module):
    """(B, N, C) evidence at cells -> (B, N) logits."""

    def __init__(self, channels: int, inner: int = 16) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, inner, 5, padding=2)
        self.beside = nn.Conv2d(inner, inner, (1, 41), padding=(0, 20), groups=inner)
        self.below = nn.Conv2d(inner, inner, (9, 1), padding=(4, 0), groups=inner)
        self.mixed = nn.Conv2d(3 * inner, inner, 3, padding=1)
        self.logit = nn.Linear(inner + channels, 1)

    def forward(self, evidence: Tensor, row: Tensor, col: Tensor, present: Tensor) -> Tensor:
        """evidence (B, N, C); row, col (B, N) int64 cells, apart by a coarse view's stride; present (B, N) bool."""
        images, _, channels = evidence.shape
        row, col = steps(row, present), steps(col, present)
        sides = int(row.max()) + 1, int(col.max()) + 1
        at = (row * sides[1] + col).masked_fill(~present, sides[0] * sides[1])  # padding: a cell of its own, cut off
        count = evidence.new_zeros(images, sides[0] * sides[1] + 1).scatter_add(
            1, at, torch.ones_like(evidence[..., 0])
        )
        where = at.unsqueeze(-1).expand(-1, -1, channels)
        painted = evidence.new_zeros(images, count.shape[1], channels).scatter_add(1, where, evidence)
        painted = (painted / count.clamp(min=1).unsqueeze(-1))[:, :-1]
        near = gelu(self.near(painted.transpose(1, 2).reshape(images, channels, *sides)))
        mixed = gelu(self.mixed(torch.cat([near, self.beside(near), self.below(near)], 1))).flatten(
            2
        )  # (B, inner, R S)
        at = at.clamp(max=sides[0] * sides[1] - 1).unsqueeze(1).expand(-1, mixed.shape[1], -1)
        return self.logit(torch.cat([mixed.gather(2, at).transpose(1, 2), evidence], -1)).squeeze(-1)  # type: ignore[no-any-return]


def steps(place: Tensor, present: Tensor) -> Tensor:
    """(B, N) rows or columns of a canvas, divided by the stride of a coarse view so that neighbours differ by 1."""
    place = place.masked_fill(~present, 0)
    ordered = place.sort(-1).values
    apart = ordered.diff(dim=-1)
    stride = apart.masked_fill(apart == 0, CELLS).amin(-1, keepdim=True).clamp(1, CELLS) if place.shape[-1] > 1 else 1
    wide = (ordered[:, -1:] // stride) // CELLS + 1
    return place // (stride * wide)
