"""Residual query: look for what of the question has not been found yet."""

from collections.abc import Generator

import torch
from torch import Tensor

from saccade.geometry.grid import gaze_at
from saccade.geometry.inhibition import next_fixation
from saccade.planners import Planner, Score
from saccade.tokens.similarity import cosine
from saccade.types import Gaze, Scene, Step


class ResidualQuery(Planner):
    """After each look every word's weight falls by the best cosine it had with a token shown: w *= 1 - max cosine.

    The first gaze is the most important token for the whole question; each next one the most important, with the
    weights left, among tokens not yet shown and outside the inhibited discs. The sampler gets the same importance.
    Scorers that ignore the question's weights leave only the discs and what was shown to move the gaze.
    """

    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        grid, weight = scene.grids[0], scene.query_weight  # (1, T)
        steps: list[Step] = []
        while True:
            importance = score(scene.weighted(weight))[0]  # (N,)
            index, note = next_fixation(importance, scene.valid[0], grid, steps, self.inhibition_radius)
            left = float(weight.sum() / scene.query_weight.sum().clamp(min=1e-9))
            step = yield gaze_at(grid, index, f"residual query {left:.2f}{note}", float(importance[index]), importance)
            steps.append(step)
            weight = weight * (1 - found(scene, step.selection.index))


def found(scene: Scene, index: Tensor) -> Tensor:
    """(1, T) in [0, 1]: how well each word of the question matches the best of the tokens `index` (K,)."""
    if len(index) == 0:
        return torch.zeros_like(scene.query_weight)
    return cosine(scene.tokens[:, index], scene.query_tokens).amax(1).clamp(0, 1)
