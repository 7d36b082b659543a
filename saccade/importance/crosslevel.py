"""Cross-level importance: each token judged after it has looked at the tokens of all levels."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from saccade.heads.crosslevel import CrossLevel
from saccade.heads.files import holds, load_cached
from saccade.importance import Scorer
from saccade.types import Need, Scene


class CrossLevelAttention(Scorer):
    """The logits of a trained `CrossLevel` network, which attends from every token to those of all levels.

    `weights` is a folder that `saccade train levels --what crosslevel` has made.
    Without one it is what training starts from: the variance over a token's width after the merger.
    Cost: 4 N E FLOPs per token for N tokens and a width of E, no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "question")

    weights: Annotated[str | None, holds(CrossLevel)] = Field(
        None, description="Folder of a trained network; none: what training starts from."
    )

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset(("tower",) if self.weights is None else self.reads)

    def raw(self, scene: Scene) -> Tensor:
        if self.weights is None:
            return scene.tokens.float().var(-1, correction=0)
        with torch.no_grad():
            logits: Tensor = load_cached(CrossLevel, self.weights, scene.tokens.device)(scene)
        return logits
