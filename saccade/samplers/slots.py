"""Slots: the page as a few clusters of tokens, each merged to a budget of its own."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from saccade.geometry.grid import aspects
from saccade.samplers import FLOOR, Sampler, guarded, numbers
from saccade.tokens.sketch import unit_sketch
from saccade.tokens.slots import budgets, cluster, complexity, heads, runs
from saccade.types import Need, Scene, Selection

LEAST_WEIGHT = 0.05
"""Share of a token without importance in its slot's mean."""


class Slots(Sampler):
    """Tokens alike and near each other form a slot; complex slots get more tokens; what is left of a slot is merged.

    A slot's complexity is the sum of its tokens' 1 - cosine to the slot's mean, weighted by importance, and the look's
    tokens are shared in proportion. A slot's tokens, in raster order, become as many runs as it has tokens to give,
    cut where neighbours differ most; a run enters the canvas as its mean, weighted by importance. Slots without any
    importance get no tokens while others can use them, so that a planner can point at one slot. The gaze itself does
    not matter. Nothing is dropped on a first look with more tokens than slots.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower",)
    merges: ClassVar[bool] = True

    side: int = Field(4, ge=1, le=16, description="Slots along the longer side of the page.")
    compact: float = Field(0.1, ge=0, description="What being one cell apart adds to 1 - cosine.")
    rounds: int = Field(2, ge=1, le=20, description="Rounds of clustering.")
    num_dims: int = Field(32, ge=8, le=1024, description="Width to which wider features are folded.")
    floor: float = Field(0, ge=0, le=1, description=FLOOR)

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        run, weight = self._runs(scene, importance, keep)
        return heads(run, weight).float()

    def choose(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> list[Selection]:
        run, weight = self._runs(scene, importance, keep)
        kept = heads(run, weight)
        slot = kept.cumsum(-1) - 1
        of_run = torch.zeros_like(slot).scatter_(1, run.masked_fill(~kept, slot.shape[1] - 1), slot * kept)
        source = of_run.gather(1, run.clamp(min=0)).masked_fill(run < 0, -1)
        index = numbers(kept)
        chosen = [
            Selection(index[b], source[b, : len(grid)].clone(), weight[b, : len(grid)].clone())
            for b, grid in enumerate(scene.grids)
        ]
        return guarded(chosen, scene, self.floor)

    def _runs(self, scene: Scene, importance: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        """(B, N) int64 runs, and (B, N) weights."""
        unit = unit_sketch(scene.tokens, self.num_dims)
        place = scene.centre_uv * aspects(scene.grids, unit.device).unsqueeze(1)
        label = cluster(unit, place, scene.valid, self.side, self.compact, self.rounds)
        level = importance.float().clamp(min=0)
        level = torch.where((level * scene.valid).sum(-1, keepdim=True) > 0, level, torch.ones_like(level))
        wish, size = complexity(unit, label, level, self.side**2)
        known = label.clamp(max=self.side**2 - 1)
        wanted = torch.zeros_like(wish).scatter_add_(1, known, level * scene.valid) > 0
        weight = LEAST_WEIGHT + (1 - LEAST_WEIGHT) * level
        budget = budgets(wish, size, wanted, keep)
        return runs(unit, label, weight, budget), weight
