"""Slots: every part of the page coarsely first, then part by part at full resolution."""

from collections.abc import Generator

import torch
from pydantic import Field
from torch import Tensor

from saccade.geometry.grid import aspects, gaze_at
from saccade.geometry.inhibition import next_fixation
from saccade.planners import Planner, Score
from saccade.tokens.sketch import unit_sketch
from saccade.tokens.slots import cluster
from saccade.types import Gaze, Scene, Step

WIDTH = 32  # of the features that slots are formed by


class Slots(Planner):
    """The first look gives every slot some tokens; each next one goes to the slot with most importance left unseen.

    Slots are clusters of tokens alike and near each other, as the sampler `slots` forms them with the same settings.
    The first gaze is the most important token, and its look favours nothing: that sampler then merges every slot to a
    few tokens. Afterwards the look's importance is the scorer's inside the slot looked at and zero outside, so that
    slot is shown as it is as far as the tokens last. What a look merged is unseen. With a sampler that merges nothing
    the first look is spread by that sampler's own rule.
    """

    side: int = Field(4, ge=1, le=16, description="Slots along the longer side of the page.")
    compact: float = Field(0.1, ge=0, description="What being one cell apart adds to 1 - cosine.")
    rounds: int = Field(2, ge=1, le=20, description="Rounds of clustering.")

    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        grid, importance, slot = scene.grids[0], score(scene)[0], self._slots(scene)
        fresh = scene.valid[0].clone()  # neither shown as they are nor named by a merged token
        index, _ = next_fixation(importance, fresh, grid, [], self.inhibition_radius)
        steps: list[Step] = []
        flat = torch.ones_like(importance) * scene.valid[0]
        step = yield gaze_at(grid, index, "all slots, coarsely", float(importance[index]), flat)
        while True:
            steps.append(step)
            fresh[step.selection.index] = False
            left = torch.zeros(self.side**2, device=fresh.device).index_add_(0, slot[fresh], importance[fresh])
            inside = fresh & (slot == left.argmax())
            among = inside if bool(inside.any()) else scene.valid[0]
            # The discs around earlier gazes hold within the slot as well, until they cover it.
            index, note = next_fixation(importance, among, grid, steps[1:], self.inhibition_radius)
            place = int(slot[index])
            reason = f"slot {place + 1}, {float(left[place]):.2f} left{note}"
            yielded = torch.where(slot == place, importance.clamp(min=1e-6), 0.0) * scene.valid[0]
            step = yield gaze_at(grid, index, reason, float(importance[index]), yielded)

    def _slots(self, scene: Scene) -> Tensor:
        """(N,) int64, side^2 where nothing may be chosen."""
        unit = unit_sketch(scene.tokens, WIDTH)
        place = scene.centre_uv * aspects(scene.grids, unit.device).unsqueeze(1)
        return cluster(unit, place, scene.valid, self.side, self.compact, self.rounds)[0]
