"""Pyramid sampling: every level of the image gives its share of the tokens, its most important ones."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from saccade.geometry.levels import counts, level_masks, num_levels, place_in_level
from saccade.samplers import Sampler
from saccade.types import Scene

Share = Annotated[float, Field(ge=0)]


class Pyramid(Sampler):
    """The best tokens of each level by importance, 40/30/20/10 % of a look from the first level to the last.

    Whole numbers by the largest remainder; what a level has no tokens for goes to the others in proportion to their
    shares. A budget that offers shares of its own (`Scene.shares`) overrules these. An image encoded at fewer levels
    has the first shares, scaled to 1: with one level this is top-K. For looks at `levels: 2` and more. This is not
    PyramidDrop (Xing et al. 2025), which prunes between the layers of the decoder: see the reduction `pyramiddrop`.
    """

    shares: tuple[Share, ...] = Field(
        (0.4, 0.3, 0.2, 0.1), min_length=1, max_length=8, description="Weights of the levels, in `order`."
    )
    order: Literal["coarse_first", "fine_first"] = Field(
        "coarse_first", description="The first share is the coarsest level's, or full resolution's."
    )

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        levels = num_levels(scene)
        room = level_masks(scene.level, scene.valid, levels).sum(-1).T  # (B, L)
        wish = self._wish(scene, levels) if scene.shares is None else scene.shares
        wish = torch.nn.functional.pad(wish, (0, levels - wish.shape[-1]))
        quota = counts(wish.to(importance.device), keep, room).gather(-1, scene.level)  # (B, N) of a token's level
        place = place_in_level(importance, scene.level, scene.valid, levels)
        return (place < quota).float()  # of the valid tokens, exactly as many as are kept

    def _wish(self, scene: Scene, levels: int) -> Tensor:
        """(B, levels) its own shares, laid on each image's levels."""
        device = scene.valid.device
        table = torch.tensor(self.shares, device=device)
        height = torch.tensor([int(grid.level.max()) for grid in scene.grids], device=device).unsqueeze(-1)  # (B, 1)
        level = torch.arange(levels, device=device).expand(len(scene.grids), levels)
        place = height - level if self.order == "coarse_first" else level
        there = (level <= height) & (place < len(table))
        return table[place.clamp(0, len(table) - 1)] * there
