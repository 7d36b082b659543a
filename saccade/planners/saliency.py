"""Saliency: look where the picture itself draws the eye, whatever the question."""

from collections.abc import Generator
from typing import ClassVar

from saccade.geometry.grid import gaze_at
from saccade.geometry.inhibition import next_fixation
from saccade.planners import Planner, Score
from saccade.tokens.ranking import normalise
from saccade.types import Gaze, Need, Scene, Step


class Saliency(Planner):
    """The token that receives most of the encoder's attention, among those not yet shown and outside inhibited discs.

    The first gaze is the picture's most salient token. The scorer decides which tokens around a gaze are kept; with
    `--scorer received` the whole look is free of the question.
    """

    reads: ClassVar[tuple[Need, ...]] = ("received",)

    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        grid = scene.grids[0]
        saliency = normalise(scene.received, scene.present)[0]  # (N,)
        steps: list[Step] = []
        while True:
            index, note = next_fixation(saliency, scene.valid[0], grid, steps, self.inhibition_radius)
            value = float(saliency[index])
            step = yield gaze_at(grid, index, f"saliency {value:.2f}{note}", value)
            steps.append(step)
