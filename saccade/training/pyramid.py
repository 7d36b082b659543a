"""Trains what a pyramid can learn: the shares of its levels, its down-sampling, attention across it.

    net = LevelNet(word_width=1536)
    train_allocator(net, examples, keep=273, steps=500)
    save(net, Path("heads/allocator"), data="...")  # then --set budget='{name: allocator, weights: heads/allocator}'

An example is a scene (a batch of images at several levels, with their questions), the importance of its tokens and, for
each token, how useful it is to the answer: 1 where an answer box lies, or any measured worth.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from saccade.geometry.levels import soft_keep
from saccade.geometry.pyramid import pyr_up
from saccade.heads.allocator import LevelNet
from saccade.heads.crosslevel import CrossLevel
from saccade.heads.pyramid import LearnedPyramid
from saccade.training.fit import drawn, fit
from saccade.training.importance import Example, listwise
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


def train_allocator(
    net: LevelNet,
    examples: Sequence[LevelExample],
    *,
    keep: int,
    steps: int,
    rate: float = RATE,
    width_tok: float = 4.0,
    seed: int = 0,
    loss_of: Callable[[Tensor, Scene, Tensor], Tensor] = useful_loss,
) -> list[float]:
    """Fits an allocator in place with AdamW, one example a step in an order drawn from `seed`; the loss of each step.

    The gradient reaches the shares through a straight-through top-K (`geometry.levels.soft_keep`, `width_tok` wide).
    `loss_of(kept, scene, useful)` may be a reader's loss as well.
    """

    def loss(example: LevelExample) -> Tensor:
        return allocator_loss(net, *example, keep, width_tok, loss_of)

    return fit(net, map(loss, drawn(examples, seed)), steps, rate, weight_decay=0.01)


def allocator_loss(
    net: LevelNet,
    scene: Scene,
    importance: Tensor,
    useful: Tensor,
    keep: int,
    width_tok: float,
    loss_of: Callable[[Tensor, Scene, Tensor], Tensor] = useful_loss,
) -> Tensor:
    """What the shares of a scene's levels lose of what is useful, with a gradient that reaches them."""
    return loss_of(soft_keep(importance, scene.level, scene.valid, net(scene), keep, width_tok), scene, useful)


def lost_detail(levels: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of the image from each coarser level of it, doubled back (`geometry.pyramid.pyr_up`)."""
    lost = []
    for level in range(1, len(levels)):
        image = levels[level]
        for finer in reversed(levels[:level]):
            image = pyr_up(image, *finer.shape[-2:])
        lost.append((image - levels[0]).square().mean())
    return torch.stack(lost).mean()


def train_pyramid(
    pyramid: LearnedPyramid,
    images: Sequence[Tensor],
    *,
    steps: int,
    rate: float = 1e-2,
    seed: int = 0,
    loss_of: Callable[[Sequence[Tensor]], Tensor] = lost_detail,
) -> list[float]:
    """Fits the filters in place on batches (B, C, H, W) in [0, 1]; the loss of each step.

    `loss_of(levels)` is what the levels are for: by default to hold what can be restored, else a reader's loss.
    """
    losses = (loss_of(pyramid(batch)) for batch in drawn(images, seed))
    return fit(pyramid, losses, steps, rate, weight_decay=0.01)


def train_crosslevel(
    net: CrossLevel, examples: Sequence[Example], *, steps: int, rate: float = RATE, seed: int = 0
) -> list[float]:
    """Fits cross-level attention to how useful each token (B, N) of a scene is; the loss of each step.

    The loss is that of other learned scorers: the softmax over an image's tokens against its useful ones.
    """
    losses = (listwise(net(scene), useful, scene.present) for scene, useful in drawn(examples, seed))
    return fit(net, losses, steps, rate, weight_decay=0.01)
