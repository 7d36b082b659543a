"""Learned importance: a small network on each token, and what it has to do with the question."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from saccade.heads.files import holds, load_cached
from saccade.heads.scoring import MLP
from saccade.importance import Scorer
from saccade.types import Need, Scene


class Learned(Scorer):
    """MLP(token) + token . W question / sqrt(C), the best of a token's patches; one MLP for all levels or for each.

    `head` is a folder that `saccade train head` has made. It looks before or after the merger, as it was trained; W
    brings the question (the mean of its words by weight) to the tokens' width.
    Cost: 2 L E M C FLOPs per token of M patches of C values, E = 64, L levels; no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "question")

    head: Annotated[str, holds(MLP)] = Field(description="Folder of a trained head.")

    def raw(self, scene: Scene) -> Tensor:
        return load_cached(MLP, self.head, scene.tokens.device)(scene)  # type: ignore[no-any-return]
