"""Information of a token: how surprising it is among those of its page; the page's entropy is the mean."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from saccade.importance import Scorer, vectors
from saccade.tokens.similarity import mean_distances
from saccade.types import Need, Scene

CHUNK_VALUES = 2**18
"""Values whose bins are held at once."""


class Entropy(Scorer):
    """Self-information -log2 p of a token (Shannon 1948; as saliency: Bruce & Tsotsos 2009).

    A page's entropy is one number and ranks nothing; it is the expectation of these. `spatial`: p is the softmax
    over tokens of minus their mean distance to all tokens, and the expectation under p is the page's spatial entropy.
    `feature`: p of a value is the share of the page's values in its bin of that feature's histogram (equal bins from
    its least to its largest value), and the mean over features and tokens is the page's mean feature entropy.
    Before the merger a token is all its patches, one after the other.
    Cost: `feature` 5 C operations per token of C values; `spatial` compares all pairs, in chunks: 2 N C FLOPs per
    token, 0.5 TFLOP at 16,384 tokens of 1,024. No pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower",)

    of: Literal["feature", "spatial"] = Field(
        "feature", description="Surprise in a token's features, or in its distance from all others."
    )
    bins: int = Field(50, ge=2, le=1024, description="Bins of each feature's histogram.")
    at: Literal["before", "after"] = Field("before", description="Before the merger, or after it.")

    def raw(self, scene: Scene) -> Tensor:
        values, present = vectors(scene, self.at), scene.present
        if self.of == "spatial":
            logits = (-mean_distances(values, present)).masked_fill(~present, float("-inf"))
            return (-logits.log_softmax(-1) / torch.log(torch.tensor(2.0))).masked_fill(~present, 0.0)
        step = max(1, CHUNK_VALUES // present.numel())
        total = torch.zeros(present.shape, device=values.device)
        for part in torch.split(values, step, dim=-1):
            total += feature_bits(part, present, self.bins)
        return total / values.shape[-1]


def feature_bits(values: Tensor, present: Tensor, bins: int) -> Tensor:
    """(B, N) float32: -log2 of the share of real tokens in the bin of each value (B, N, C), summed over C."""
    values, real = values.float(), present.unsqueeze(-1)
    low = values.masked_fill(~real, float("inf")).amin(1, keepdim=True)
    high = values.masked_fill(~real, float("-inf")).amax(1, keepdim=True)
    place = (values - low) / (high - low).clamp(min=1e-30) * bins
    bin_of = place.nan_to_num(0.0).clamp(0, bins - 1).long()  # the largest value belongs to the last bin
    counts = torch.zeros(len(values), bins, values.shape[-1], device=values.device)
    counts.scatter_add_(1, bin_of, real.float().expand_as(values))
    bits = torch.log2(present.sum(-1)[:, None, None] / counts.clamp(min=1))
    return bits.gather(1, bin_of).sum(-1)
