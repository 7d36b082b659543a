"""Mutual information with the question: how much the question changes where to look."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from saccade.importance import Scorer
from saccade.tokens.similarity import over_words, scaled_product
from saccade.types import Need, Scene


class Mutual(Scorer):
    """A token's term p log2(p / u) of the divergence (Kullback & Leibler 1951) of p(token | question) from uniform u.

    p is the softmax over tokens of (v . t) / (sqrt(D) temperature), mean over the words t by weight, u = 1 / N. The
    terms sum to the divergence in bits. They fall below 0 for tokens less likely than u, lowest at u / e, not at 0.
    After the merger only, where tokens and words share a space.
    Cost: 2 T D FLOPs per token for T words, no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "question")

    temperature: float = Field(1.0, gt=0, description="Above 1: spread over more tokens.")

    def raw(self, scene: Scene) -> Tensor:
        return divergence(scene, self.temperature)


def divergence(scene: Scene, temperature: float) -> Tensor:
    """(B, N) float32 bits: each token's term of the divergence, 0 at padding."""
    present, product = scene.present, scaled_product(scene.tokens, scene.query_tokens)
    logits = over_words(product, scene.query_weight, "mean") / temperature
    log_p = logits.masked_fill(~present, float("-inf")).log_softmax(-1)
    bits = (log_p + present.sum(-1, keepdim=True).log()) / torch.log(torch.tensor(2.0))
    terms: Tensor = log_p.exp() * bits
    return terms.masked_fill(~present, 0.0)
