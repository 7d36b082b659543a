"""Diversity: tokens that are unlike each other, so that everything on the page is represented."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from saccade.samplers import Sampler
from saccade.tokens.diversity import Determinant, MaxMin, greedy
from saccade.tokens.ranking import rank
from saccade.tokens.sketch import unit_sketch
from saccade.types import Need, Scene

LEAST_QUALITY = 0.05
"""Quality of a token without importance: it may still be picked where nothing like it was."""


class Diversity(Sampler):
    """Greedy picks, each the token that adds most to those before it. The first is the most important token.

    `maxmin`: each next token is the one farthest, in cosine distance, from its nearest pick (as in DivPrune, Alvar et
    al. 2025); importance decides between equals only. `dpp`: the determinantal point process conditioned on importance
    (as in CDPruner, Zhang et al. 2025; greedy MAP of Chen, Zhang & Zhou 2018): kernel q_i q_j exp((cos - 1) / width),
    q = 0.05 + 0.95 importance. Features wider than `num_dims` are compared by a sketch of that width. The gaze does
    not matter, and neither do tokens that an earlier look showed.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower",)
    batch_tok: ClassVar[int] = 2**18  # a pick is many small steps, which cost little more for more images

    kind: Literal["maxmin", "dpp"] = Field("maxmin", description="Farthest from all picks, or largest determinant.")
    width: float = Field(0.2, gt=0, description="dpp: 1 - cosine at which the likeness of two tokens is 1/e.")
    ridge: float = Field(
        0.01, gt=0, lt=1, description="dpp: share of its gain that a token keeps when its double was picked."
    )
    num_dims: int = Field(64, ge=8, le=1024, description="Width to which wider features are folded.")

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        unit, keep = unit_sketch(scene.tokens, self.num_dims), min(keep, scene.valid.shape[1])
        if self.kind == "maxmin":
            order = greedy(MaxMin(unit, keep), rank(importance, scene.valid), scene.valid, keep)
        else:
            quality = LEAST_QUALITY + (1 - LEAST_QUALITY) * importance.float()
            worth = Determinant(unit, quality, self.width, self.ridge, keep)
            order = greedy(worth, rank(importance, scene.valid), scene.valid, keep)
        return -order.float()
