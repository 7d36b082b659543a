"""Global rarity: tokens unlike the rest of the page."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from saccade.importance import Scorer, vectors
from saccade.tokens.similarity import mean_cosine, mean_vector, nearest_cosine
from saccade.types import Need, Scene

CHUNK_TOK = 512
"""Tokens whose distances are held at once."""


class Rarity(Scorer):
    """Distance of a token from what is common: the page's mean, all other tokens, or the ones most like it.

    `mean`: Euclidean distance from the mean token. `all`: minus the mean cosine with every other token. `nearest`:
    minus the mean cosine with the `nearest` most similar others: one word repeated down a page is not rare, however
    little of the page it covers. Before the merger a token is all its patches, one after the other.
    Cost: 3 C FLOPs per token of C values for `mean`, 5 C for `all` (exact, without comparing pairs); `nearest` compares
    all pairs, in chunks: 2 N C per token, 0.3 TFLOP at 16,384 tokens of 1,024. No pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower",)

    to: Literal["mean", "all", "nearest"] = Field("mean", description="What a token is compared with.")
    nearest: int = Field(8, ge=1, le=1024, description="With `nearest`: how many of the most similar others count.")
    at: Literal["before", "after"] = Field("before", description="Before the merger, or after it.")

    def raw(self, scene: Scene) -> Tensor:
        values = vectors(scene, self.at)
        if self.to == "all":
            return -mean_cosine(values, scene.present)
        if self.to == "nearest":
            return -nearest_cosine(values, scene.present, self.nearest)
        mean, size = mean_vector(values, scene.present), max(1, CHUNK_TOK // len(values))
        apart = mean.new_empty(values.shape[:2])
        for some, out in zip(torch.split(values, size, 1), torch.split(apart, size, 1), strict=True):
            out.copy_(torch.linalg.vector_norm(some.float() - mean, dim=-1))
        return apart
