"""Query cosine: tokens that look, to the language model, like words of the question."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from saccade.importance import Scorer
from saccade.tokens.similarity import cosine, over_words
from saccade.types import Need, Scene


class QueryCosine(Scorer):
    """Cosine of each token with the question's words, the best of them or their weighted mean.

    A word of weight w counts w times its cosine where that is positive; at w = 0 (padding, or found) not at all.
    Only tokens *after* the merger live in the language model's space. Features before it have another width and
    another space: a cosine of a question with them needs a trained projection, which is what `late` and `cross`
    load, with a head trained `at` before. Without a question `variance`, `norm`, `received`, `contrast`,
    `rarity` and `frequency` rank before the merger.
    Cost: 2 T D FLOPs per token for T words, no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "question")

    words: Literal["max", "mean"] = Field("max", description="The best word decides, or all of them by weight.")

    def raw(self, scene: Scene) -> Tensor:
        return over_words(cosine(scene.tokens, scene.query_tokens), scene.query_weight, self.words)
