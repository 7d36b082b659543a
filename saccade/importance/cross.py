"""Learned cross-attention: where the words of the question attend on the page, after training."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from saccade.heads.files import holds, load_cached
from saccade.heads.scoring import Cross
from saccade.importance import Scorer
from saccade.types import Need, Scene


class CrossAttention(Scorer):
    """Attention a token receives from the words: softmax(W_q t . W_k v / sqrt(E / heads)) over the image's patches.

    Mean over heads and, by weight, over words (Vaswani et al. 2017). `head` is a folder of
    `saccade.training.importance`; it looks before or after the merger, as it was trained.
    Cost: 2 E M (C + T) FLOPs per token of M patches of C values, E = 64 and T words; no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "question")

    head: Annotated[str, holds(Cross)] = Field(description="Folder of a trained head.")

    def raw(self, scene: Scene) -> Tensor:
        logits: Tensor = load_cached(Cross, self.head, scene.tokens.device)(scene)
        return logits.exp()
