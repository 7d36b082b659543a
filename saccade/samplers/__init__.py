"""Samplers decide which tokens a look keeps. One file a sampler; the file's name is the sampler's name.

A sampler that only ranks tokens overrides `priority`; keeping exactly the best `keep` of them is done here once.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from saccade.registry import Strategy
from saccade.types import Scene, Selection


class Sampler(Strategy):
    """(scene, importance, gaze, keep) -> one `Selection` of exactly min(keep, number of valid tokens) per image."""

    blind: ClassVar[bool] = False
    """Looks at neither gaze nor importance: an episode spends its whole budget on it in one look."""

    @abstractmethod
    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        """(B, N) float: tokens with the highest values are kept. `importance` (B, N) in [0, 1], `gaze_uv` (B, 2).

        The same (importance, gaze) must give the same priorities: randomness comes from a seed among the settings.
        """

    def __call__(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> list[Selection]:
        """One selection per image. keep >= N keeps everything; equal priorities are resolved by raster order."""
        priority = self.priority(scene, importance, gaze_uv, keep)
        return select(priority, scene, keep)


def select(priority: Tensor, scene: Scene, keep: int) -> list[Selection]:
    """The best `keep` valid tokens of each image by priority (B, N), ties to the earlier token."""
    ranked = priority.masked_fill(~scene.valid, float("-inf"))
    order = torch.argsort(ranked, dim=-1, descending=True, stable=True)[:, :keep]  # (B, keep)
    counts = scene.valid.sum(-1).clamp(max=keep).tolist()
    return [
        Selection.keep(order[b, :count], len(grid))
        for b, (count, grid) in enumerate(zip(counts, scene.grids, strict=True))
    ]
