"""Trains what a pyramid can learn: the shares of its levels, its down-sampling, attention across it.

    net = LevelNet(word_width=1536)
    train_allocator(net, examples, keep=273, steps=500)
    save(net, Path("heads/allocator"), data="...")  # then --set budget='{name: allocator, weights: heads/allocator}'

An example is a scene (a batch of images at several levels, with their questions), the importance of its tokens and, for
each token, how useful it is to the answer: 1 where an answer box lies, or any measured worth.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from saccade.geometry.levels import soft_keep
from saccade.geometry.pyramid import mirror, pyr_down, pyr_up
from saccade.heads.allocator import LevelNet
from saccade.heads.crosslevel import CrossLevel
from saccade.training.fit import drawn, fit
from saccade.training.importance import Example, listwise
from saccade.types import Scene

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
    rate: float = 3e-3,
    width_tok: float = 4.0,
    seed: int = 0,
    loss_of: Callable[[Tensor, Scene, Tensor], Tensor] = useful_loss,
) -> list[float]:
    """Fits an allocator in place with AdamW, one example a step in an order drawn from `seed`; the loss of each step.

    The gradient reaches the shares through a straight-through top-K (`geometry.levels.soft_keep`, `width_tok` wide).
    `loss_of(kept, scene, useful)` may be a reader's loss as well.
    """

    def loss(example: LevelExample) -> Tensor:
        scene, importance, useful = example
        kept = soft_keep(importance, scene.level, scene.valid, net(scene), keep, width_tok)
        return loss_of(kept, scene, useful)

    return fit(net, map(loss, drawn(examples, seed)), steps, rate, weight_decay=0.01)


class LearnedPyramid(nn.Module):
    """A pyramid whose down-sampling is trained: the Gaussian one plus a 5 x 5 filter per level, all zeros at first.

    Before training it is `geometry.pyramid.gaussian` to the last bit. Filters mix channels.
    """

    def __init__(self, levels: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.levels, self.channels = levels, channels
        shape = (channels, channels, 5, 5)
        self.change = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for _ in range(levels - 1))

    @property
    def sizes(self) -> dict[str, int]:
        """What `__init__` takes."""
        return {"levels": self.levels, "channels": self.channels}

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) float32 -> its levels, the image first, each next one half as wide and high, rounded up."""
        made = [images]
        for change in self.change:
            wide = made[-1]
            for dim in (-2, -1):
                wide = wide.index_select(dim, mirror(wide.shape[dim], 2, wide.device))
            made.append(pyr_down(made[-1]) + nn.functional.conv2d(wide, change, stride=2))
        return made


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
    net: CrossLevel, examples: Sequence[Example], *, steps: int, rate: float = 3e-3, seed: int = 0
) -> list[float]:
    """Fits cross-level attention to how useful each token (B, N) of a scene is; the loss of each step.

    The loss is that of other learned scorers: the softmax over an image's tokens against its useful ones.
    """
    losses = (listwise(net(scene), useful, scene.present) for scene, useful in drawn(examples, seed))
    return fit(net, losses, steps, rate, weight_decay=0.01)
