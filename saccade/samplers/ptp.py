"""PTP: tokens of all levels ranked by their region, their own features and the instruction.

Liang et al. 2025, Pyramid Token Pruning (arXiv:2509.15704).
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from saccade.geometry.bins import regions
from saccade.samplers import Sampler
from saccade.tokens.ranking import normalise
from saccade.tokens.similarity import over_words, scaled_product
from saccade.types import Need, Scene

CHUNK_TOK = 1024
"""Tokens that are worked on at once: they stay in the processor's cache."""


class PTP(Sampler):
    """The best tokens by 0.3 region + 0.4 token + 0.3 instruction, each scaled to [0, 1], over all levels together.

    Token: variance over a token's width. Region: variance over all values of a 4 x 4 region of a token's own level.
    Instruction: the largest scaled dot product with a word of the question, or, with `instruction: importance`, what
    the look favours (the scorer's or the planner's importance). The gaze plays no part.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "question")

    region: float = Field(0.3, ge=0, description="Weight of the region's variance.")
    token: float = Field(0.4, ge=0, description="Weight of the token's variance.")
    guidance: float = Field(0.3, ge=0, description="Weight of the instruction.")
    instruction: Literal["relevance", "importance"] = Field(
        "relevance", description="The question's words themselves, or the importance of the look."
    )
    regions: int = Field(4, ge=1, le=64, description="Regions along each side.")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset(self.reads if self.instruction == "relevance" else ("tower",))

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        parts = torch.split(scene.tokens.flatten(0, 1), CHUNK_TOK)
        columns = zip(*map(moments, parts), strict=True)
        spread, middle = (torch.cat(values).view(scene.valid.shape) for values in columns)  # (B, N)
        region = regions(scene.centre_uv, scene.level, self.regions)
        whole = region_variance(spread, middle, region, scene.present)
        guided = importance
        if self.instruction == "relevance":
            guided = over_words(scaled_product(scene.tokens, scene.query_tokens), scene.query_weight, "max")
        terms = ((self.region, whole), (self.token, spread), (self.guidance, guided))
        return sum(
            (weight * normalise(values, scene.present) for weight, values in terms), start=torch.zeros_like(spread)
        )


def moments(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) variance and mean over the width of tokens (n, D), in float32. `torch.var` takes eight times as long."""
    values = tokens.float()
    mean = values.mean(-1, keepdim=True)
    apart = torch.linalg.vector_norm(values - mean, dim=-1)
    return apart.square() / tokens.shape[-1], mean.squeeze(-1)


def region_variance(variance: Tensor, mean: Tensor, region: Tensor, present: Tensor) -> Tensor:
    """(B, N) variance of all values of a token's region, from each token's own variance and mean (B, N).

    Law of total variance: the mean of the variances and the variance of the means; tokens are equally wide.
    """
    number = int(region.max()) + 1

    def average(values: Tensor) -> Tensor:
        total = values.new_zeros(len(region), number).scatter_add_(1, region, values * present)
        count = values.new_zeros(len(region), number).scatter_add_(1, region, present.to(values.dtype))
        return (total / count.clamp(min=1)).gather(1, region)

    return average(variance) + average((mean - average(mean)).square())
