"""Instruction relevance: what the words of the question would attend to (PTP 2025, arXiv:2509.15704)."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from saccade.importance import Scorer
from saccade.tokens.similarity import over_words, scaled_product
from saccade.types import Need, Scene


class Instruction(Scorer):
    """Largest scaled dot product v . t / sqrt(D) of a token with a word of the question.

    Unlike a cosine it grows with the token's norm. Tokens after the merger and words share the language model's space,
    so nothing is projected. Before the merger they do not: `late` and `cross` bring a trained projection. Words of
    lower weight count less, as in `query`.
    Cost: 2 T D FLOPs per token for T words, no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "question")

    words: Literal["max", "mean"] = Field("max", description="The best word decides, or all of them by weight.")

    def raw(self, scene: Scene) -> Tensor:
        return over_words(scaled_product(scene.tokens, scene.query_tokens), scene.query_weight, self.words)
