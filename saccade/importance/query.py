"""Query cosine (I1): tokens that look, to the language model, like words of the question."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from saccade.geometry.tokens import cosine
from saccade.importance import Scorer
from saccade.types import Scene


class QueryCosine(Scorer):
    """Cosine of each token with the question's words, the best of them or their weighted mean.

    A word of weight w counts w times its cosine where that is positive; at w = 0 (padding, or found) not at all.
    Only tokens *after* the merger live in the language model's space. A cosine of a question with features before it
    has no meaning without a trained projection (I2, I16), so none is offered: `variance`, `norm` and `received`,
    which need no question, are what can rank before the merger.
    """

    words: Literal["max", "mean"] = Field("max", description="The best word decides, or all of them by weight.")

    def raw(self, scene: Scene) -> Tensor:
        similarity = cosine(scene.tokens, scene.query_tokens)  # (B, N, T)
        weight = scene.query_weight.float().unsqueeze(1)  # (B, 1, T)
        if self.words == "mean":
            return (similarity * weight).sum(-1) / weight.sum(-1).clamp(min=1e-9)
        # min(w cos, cos): a lower weight makes a match less relevant, but a mismatch no less of one.
        best = torch.minimum(similarity * weight, similarity).masked_fill(weight == 0, float("-inf")).amax(-1)
        return best.masked_fill((weight == 0).all(-1), 0.0)
