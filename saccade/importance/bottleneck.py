"""Information bottleneck: tokens that say something about the question and that no others repeat."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from saccade.importance import Scorer, vectors
from saccade.importance.mutual import divergence
from saccade.tokens.ranking import normalise
from saccade.tokens.similarity import mean_cosine, nearest_cosine
from saccade.types import Need, Scene


class Bottleneck(Scorer):
    """Relevance - beta x redundancy, each scaled to [0, 1] over the image (after Tishby, Pereira & Bialek 1999).

    Relevance is a token's mutual information with the question (`mutual`). Redundancy is the token's own: its mean
    cosine with all others, or with the 8 most similar. (One entropy of the whole page taken off every token's
    relevance would leave their order as it was.)
    Cost: that of `mutual` and 5 C FLOPs per token of C values; with `nearest` all pairs, 2 N C. No pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "question")

    beta: float = Field(1.0, ge=0, description="Weight of redundancy against relevance.")
    redundancy: Literal["all", "nearest"] = Field(
        "all", description="Likeness to all other tokens, or to the nearest 8."
    )
    temperature: float = Field(1.0, gt=0, description="Of relevance, as in `mutual`.")
    at: Literal["before", "after"] = Field("before", description="Redundancy before the merger, or after it.")

    def raw(self, scene: Scene) -> Tensor:
        values, present = vectors(scene, self.at), scene.present
        shared = mean_cosine(values, present) if self.redundancy == "all" else nearest_cosine(values, present, 8)
        relevance = normalise(divergence(scene, self.temperature), present)
        return relevance - self.beta * normalise(shared, present)
