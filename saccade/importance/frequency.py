"""Local frequency: where features change from token to token, as they do over fine detail."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from saccade.geometry.neighbours import neighbours, variance_around
from saccade.importance import Scorer, vectors
from saccade.types import Need, Scene


class Frequency(Scorer):
    """Variance of each feature over a token and its 8 spatial neighbours, mean over the features.

    High local variance stands for high spatial frequency. At borders the neighbours there are count, of the same
    level. Before the merger a token is all its patches, one after the other.
    Cost: 40 C FLOPs per token of C values, no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower",)

    at: Literal["before", "after"] = Field("before", description="Before the merger, or after it.")

    def raw(self, scene: Scene) -> Tensor:
        return variance_around(vectors(scene, self.at), neighbours(scene))
