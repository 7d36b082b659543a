"""Region saliency: every token counts as much as its part of the page varies."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from saccade.geometry.bins import regions
from saccade.importance import Scorer, vectors
from saccade.types import Need, Scene

CHUNK_TOK = 1024
"""Tokens whose deviations are held at once."""


class Region(Scorer):
    """Feature variance over a 4 x 4 grid of regions, given to each token of a region; every level has its own regions.

    `all`: over the region's tokens and features together. `tokens`: over its tokens, mean over the features, so that
    differences between features do not count. A token belongs to the region its centre lies in.
    Cost: 6 C FLOPs per token of C values, no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower",)

    regions: int = Field(4, ge=1, le=64, description="Regions along each side.")
    over: Literal["all", "tokens"] = Field("all", description="Values that vary: all of a region, or between tokens.")
    at: Literal["before", "after"] = Field("before", description="Before the merger, or after it.")

    def raw(self, scene: Scene) -> Tensor:
        values, present = vectors(scene, self.at), scene.present
        region = regions(scene.centre_uv, scene.level, self.regions)
        number = int(region.max()) + 1
        count = values.new_zeros(len(region), number, dtype=torch.float32).scatter_add_(1, region, present.float())
        # Measured from the image's first value or token, so that equal ones give exactly 0 in regions of any size.
        first = (values[:, :1, :1] if self.over == "all" else values[:, :1]).float()
        width = 1 if self.over == "all" else values.shape[-1]
        mean = first.new_zeros(len(region), number, width)
        for tokens, here, real in self._chunks(values, region, present):
            apart = (tokens.float() - first) * real.unsqueeze(-1)
            apart = apart.mean(-1, keepdim=True) if self.over == "all" else apart
            mean.scatter_add_(1, here.unsqueeze(-1).expand(-1, -1, width), apart)
        mean /= count.clamp(min=1).unsqueeze(-1)
        total = torch.zeros_like(count)
        for tokens, here, real in self._chunks(values, region, present):
            around = mean.gather(1, here.unsqueeze(-1).expand(-1, -1, width))
            square = (tokens.float() - first - around).square().mean(-1)
            total.scatter_add_(1, here, square * real)
        return (total / count.clamp(min=1)).gather(1, region)

    @staticmethod
    def _chunks(*columns: Tensor) -> zip:  # type: ignore[type-arg]
        size = max(1, CHUNK_TOK // len(columns[0]))
        return zip(*(torch.split(column, size, 1) for column in columns), strict=True)
