"""Residual query: look for the part of the question that has not been found yet."""

from collections.abc import Generator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from saccade.geometry.grid import gaze_at
from saccade.geometry.inhibition import next_fixation
from saccade.planners import Planner, Score
from saccade.tokens.similarity import cosine
from saccade.types import Gaze, Scene, Step

LEAST = 0.05
"""Weight of a part that has been found: what lies around it is worth more than paper."""


class ResidualQuery(Planner):
    """After each look every word's weight falls by the best cosine it had with a token shown: w *= 1 - max cosine.

    The first gaze is the most important token; each next one the most important, with the weights left, among tokens
    not yet shown and outside the inhibited discs. The sampler gets the same importance.
    With scorers that ignore the question's weights, only the discs and what was shown move the gaze.

    A question for several things ("the date and the total") is looked for part by part: each part has an importance of
    its own, by its own words, and its weight falls by the highest importance that was shown, w = 1 - max importance. A
    token is worth what it is worth to the part that wants it most.
    """

    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        parts = scene.queries[0].parts
        return self._by_parts(scene, score, parts) if len(parts) > 1 else self._by_words(scene, score)

    def _by_parts(self, scene: Scene, score: Score, parts: Sequence[tuple[int, int]]) -> Generator[Gaze, Step, None]:
        grid, steps = scene.grids[0], list[Step]()
        own = []
        for first, last in parts:  # its words alone: a head may read each word with those beside it
            words = {name: getattr(scene, name)[:, first:last] for name in ("query_tokens", "query_weight")}
            own.append(score(replace(scene, **words))[0])
        worth = torch.stack(own)  # (P, N) of P parts
        if bool((worth == worth[0]).all()):  # a scorer that does not read the question
            yield from self._by_words(scene, score)
            return
        left = worth.new_ones(len(parts))
        while True:
            wanted = left[:, None] * worth
            importance = wanted.amax(0)
            index, note = next_fixation(importance, scene.valid[0], grid, steps, self.inhibition_radius)
            reason = (
                f"residual query {float(left.mean()):.2f}, part {int(wanted[:, index].argmax()) + 1} of {len(parts)}"
            )
            step = yield gaze_at(grid, index, reason + note, float(importance[index]), importance)
            steps.append(step)
            if len(step.selection.index):
                left = torch.minimum(left, 1 - worth[:, step.selection.index].amax(1)).clamp(min=LEAST)

    def _by_words(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        grid, weight = scene.grids[0], scene.query_weight  # (1, T)
        steps: list[Step] = []
        while True:
            importance = score(scene.weighted(weight))[0]  # (N,)
            index, note = next_fixation(importance, scene.valid[0], grid, steps, self.inhibition_radius)
            left = float(weight.sum() / scene.query_weight.sum().clamp(min=1e-9))
            step = yield gaze_at(grid, index, f"residual query {left:.2f}{note}", float(importance[index]), importance)
            steps.append(step)
            weight = weight * (1 - best_match(scene, step.selection.index))


def best_match(scene: Scene, index: Tensor) -> Tensor:
    """(1, T) in [0, 1]: how well each word of the question matches the best of the tokens `index` (K,)."""
    if len(index) == 0:
        return torch.zeros_like(scene.query_weight)
    return cosine(scene.tokens[:, index], scene.query_tokens).amax(1).clamp(0, 1)
