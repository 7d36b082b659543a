"""Local contrast: tokens that differ from those beside them, as edges and print do."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from saccade.geometry.neighbours import mean_distance, neighbours
from saccade.importance import Scorer, vectors
from saccade.types import Need, Scene


class Contrast(Scorer):
    """Mean Euclidean distance of a token's vector to those of its 8 spatial neighbours; fewer at borders.

    Neighbours are on the token grid, of the same level, not in feature space: there an isolated edge would have no
    contrast with another one across the page. Before the merger a token is all its patches, one after the other.
    Cost: 12 C FLOPs per token of C values (each pair is measured once), no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower",)

    at: Literal["before", "after"] = Field("before", description="Before the merger, or after it.")

    def raw(self, scene: Scene) -> Tensor:
        return mean_distance(vectors(scene, self.at), neighbours(scene))
