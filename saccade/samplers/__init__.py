"""Samplers decide which tokens a look keeps. One file per sampler; the file's name is the sampler's name.

A sampler that only ranks tokens overrides `priority`; keeping exactly the best `keep` of them is done here once. One
that merges tokens overrides `choose` as well and says so.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from saccade.clock import stage
from saccade.registry import Strategy
from saccade.tokens.entropy import WIDTH, unmixed
from saccade.tokens.sketch import unit_sketch
from saccade.types import Need, Scene, Selection

FLOOR = "Token entropy that merged tokens hold at least, as a share of that of as many unmerged ones; 0: any."


class Sampler(Strategy):
    """(scene, importance, gaze, keep) -> one `Selection` of exactly min(keep, number of valid tokens) per image."""

    blind: ClassVar[bool] = False
    """Looks at neither gaze nor importance: an episode spends its whole budget on it in one look."""
    merges: ClassVar[bool] = False
    """Tokens may enter the canvas as means of several."""
    reads: ClassVar[tuple[Need, ...]] = ()
    """Everything of a scene that it may read beside places and importance, as `Scorer.reads`."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads with these settings."""
        return frozenset(self.reads)

    batch_tok: ClassVar[int] = 2**16
    """Tokens worked on at once: more would leave the processor's caches and need more memory, not less time."""

    @abstractmethod
    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        """(B, N) float: tokens with the highest values are kept. `importance` (B, N) in [0, 1], `gaze_uv` (B, 2).

        The same (importance, gaze) must give the same priorities: randomness comes from a seed among the settings.
        """

    def choose(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> list[Selection]:
        """One selection per image; `importance` (B, N) in [0, 1], `gaze_uv` (B, 2), and at most `batch_tok` tokens."""
        return select(self.priority(scene, importance, gaze_uv, keep), scene, keep)

    @stage("selection")
    def __call__(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> list[Selection]:
        """One selection per image. keep >= N keeps everything; equal priorities are resolved by raster order."""
        batch, num_tok = scene.valid.shape
        size = max(1, self.batch_tok // max(1, num_tok))
        if batch <= size:
            return self.choose(scene, importance, gaze_uv, keep)
        parts = [slice(start, start + size) for start in range(0, batch, size)]
        return [
            selection
            for part in parts
            for selection in self.choose(scene.some(part), importance[part], gaze_uv[part], keep)
        ]


def best(priority: Tensor, valid: Tensor, keep: int) -> Tensor:
    """(B, N) bool: the best `keep` of the `valid` tokens by priority (B, N), ties to the earlier token."""
    ranked = priority.masked_fill(~valid, float("-inf"))
    if keep >= ranked.shape[-1]:
        return valid
    if keep < 1:
        return torch.zeros_like(valid)
    last = ranked.topk(keep, dim=-1, sorted=False).values.amin(-1, keepdim=True)  # (B, 1) the worst that is kept
    above, level = ranked > last, (ranked == last) & valid
    room = keep - above.sum(-1, keepdim=True)
    return above | (level & (level.cumsum(-1) <= room))


def select(priority: Tensor, scene: Scene, keep: int) -> list[Selection]:
    """The best `keep` valid tokens of each image by priority (B, N), ties to the earlier token."""
    kept = best(priority, scene.valid, keep)
    slot = (kept.cumsum(-1) - 1).masked_fill(~kept, -1)
    index = numbers(kept)
    return [Selection(index[b], slot[b, : len(grid)].clone()) for b, grid in enumerate(scene.grids)]


def numbers(kept: Tensor) -> tuple[Tensor, ...]:
    """(K,) int64 of each image: the tokens that are `kept` (B, N) bool."""
    return torch.split(kept.nonzero()[:, 1], kept.sum(-1).tolist())


def guarded(chosen: list[Selection], scene: Scene, floor: float) -> list[Selection]:
    """Selections that merge, held to `floor` of the token entropy that as many tokens have unmerged; 0: as they are."""
    if floor == 0:
        return chosen
    unit = unit_sketch(scene.tokens, WIDTH)
    return [unmixed(each, unit[b, : len(each.source)], floor) if each.merges else each for b, each in enumerate(chosen)]
