"""Losses of a pyramid: of the shares of its levels, and of its down-sampling (`saccade train levels`).

An example is a scene (a batch of images at several levels, with their questions), the importance of its tokens and, for
each token, how useful it is to the answer: 1 where an answer box lies, or any measured worth.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from saccade.geometry.levels import soft_keep
from saccade.geometry.pyramid import pyr_up
from saccade.heads.allocator import LevelNet
from saccade.types import Scene

RATE = 3e-3  # learning rate of what works on tokens

LevelExample = tuple[Scene, Tensor, Tensor]
"""Scene, importance (B, N) in [0, 1], usefulness (B, N) >= 0."""


def useful_loss(kept: Tensor, scene: Scene, useful: Tensor) -> Tensor:
    """1 - share of the useful mass that is kept: both (B, N); mean over images that have any."""
    useful = useful * scene.present
    mass = useful.sum(-1)
    share = (kept * useful).sum(-1) / mass.clamp(min=1e-9)
    return ((1 - share) * (mass > 0)).sum() / (mass > 0).sum().clamp(min=1)


def allocator_loss(
    net: LevelNet, scene: Scene, importance: Tensor, useful: Tensor, keep: int, width_tok: float
) -> Tensor:
    """Share of the useful mass that the shares of a scene's levels lose.

    The gradient reaches the shares through a straight-through top-K (`geometry.levels.soft_keep`, `width_tok` wide).
    """
    return useful_loss(soft_keep(importance, scene.level, scene.valid, net(scene), keep, width_tok), scene, useful)


def lost_detail(levels: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of the image from each coarser level of it, doubled back (`geometry.pyramid.pyr_up`)."""
    lost = []
    for level in range(1, len(levels)):
        image = levels[level]
        for finer in reversed(levels[:level]):
            image = pyr_up(image, *finer.shape[-2:])
        lost.append((image - levels[0]).square().mean())
    return torch.stack(lost).mean()
