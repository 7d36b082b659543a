"""Dominant and contextual tokens: the most attended tokens as they are, the rest merged into a few."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from saccade.samplers import FLOOR, Sampler, best, guarded, numbers
from saccade.tokens.diversity import rows
from saccade.tokens.sketch import unit_sketch
from saccade.types import Need, Scene, Selection


class Dominant(Sampler):
    """`ratio` of the tokens by attention received in the encoder; the others are merged into contextual ones.

    Of what is left, tokens at equal steps in raster order are the contextual ones; every other token goes to the one
    it is most like, by cosine, the earlier of equals, and they enter the canvas as their mean (as in VisionZip, Yang
    et al. 2025, there by the encoder's keys). The gaze does not matter.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "received")
    merges: ClassVar[bool] = True
    batch_tok: ClassVar[int] = 2**14  # features fill the caches sooner

    ratio: float = Field(0.84, ge=0, le=1, description="Share of the tokens kept as they are.")
    score: Literal["received", "importance"] = Field(
        "received", description="What dominates: attention received in the encoder, or what the scorer says."
    )
    num_dims: int = Field(64, ge=8, le=1024, description="Width to which wider features are folded.")
    floor: float = Field(0, ge=0, le=1, description=FLOOR)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset(self.reads if self.score == "received" else ("tower",))

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        dominant, contextual, _ = self._parts(scene, importance, keep)
        return 2.0 * dominant + contextual

    def choose(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> list[Selection]:
        dominant, contextual, target = self._parts(scene, importance, keep)
        kept = dominant | contextual
        slot = kept.cumsum(-1) - 1
        source = slot.masked_fill(~kept, -1)
        if target.shape[1]:
            unit = unit_sketch(scene.tokens, self.num_dims)
            nearest = (unit @ rows(unit, target).mT).argmax(-1)  # (B, N); a target that is repeated stands first
            merged = slot.gather(1, target.gather(1, nearest))
            rest = scene.valid & ~kept & contextual.any(-1, keepdim=True)
            source = torch.where(rest, merged, source)
        index = numbers(kept)
        chosen = [Selection(index[b], source[b, : len(grid)].clone()) for b, grid in enumerate(scene.grids)]
        return guarded(chosen, scene, self.floor)

    def _parts(self, scene: Scene, importance: Tensor, keep: int) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N) bool dominant and contextual tokens, and the latter's numbers (B, m), the last one repeated."""
        dominant = best(
            scene.received if self.score == "received" else importance, scene.valid, round(self.ratio * keep)
        )
        rest = scene.valid & ~dominant
        left = rest.sum(-1, keepdim=True)
        count = left.clamp(max=keep) - (left.clamp(max=keep) + dominant.sum(-1, keepdim=True) - keep).clamp(min=0)
        most = int(count.max()) if len(count) else 0
        number = torch.arange(most, device=rest.device).minimum((count - 1).clamp(min=0))  # (B, m)
        step = (2 * number + 1) * left // (2 * count.clamp(min=1))  # place among the rest
        place = (rest.cumsum(-1) - 1).masked_fill(~rest, rest.shape[1])  # (B, N), the rest numbered
        token = torch.arange(rest.shape[1], device=rest.device).expand_as(place)
        by_place = torch.zeros(len(rest), rest.shape[1] + 1, dtype=torch.int64, device=rest.device)
        target = by_place.scatter_(1, place, token).gather(1, step)
        chosen = torch.zeros_like(rest).scatter_(1, target, True)
        return dominant, chosen & rest & (count > 0), target
