"""Uncertainty: look where the reader's own doubt points."""

from collections.abc import Generator

import torch
from torch import Tensor

from saccade.geometry.grid import gaze_at
from saccade.geometry.inhibition import next_fixation
from saccade.planners import Planner, Score
from saccade.tokens.similarity import cosine
from saccade.types import Answer, Gaze, Scene, Step

LEAST_DOUBT = 1e-3
"""1 - confidence, at least: even where the reader claims certainty, the order of what it has not seen stays."""


class Uncertainty(Planner):
    """(1 - confidence) x (relevance + doubt) / 2 of tokens not yet shown, outside the inhibited discs.

    Relevance is the scorer's importance. Doubt of a token is its largest cosine with a token of the last answer, times
    the probability 1 - p that this answer token is wrong: an answer sure of every token adds none, one with a shaky
    digit draws the gaze to what looks like that digit. An answer without embeddings, or "cannot read", has relevance
    alone. The first gaze is the most relevant token.
    """

    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        grid = scene.grids[0]
        relevance = score(scene)[0]  # (N,)
        importance, reason = relevance, "most relevant"
        steps: list[Step] = []
        while True:
            index, note = next_fixation(importance, scene.valid[0], grid, steps, self.inhibition_radius)
            step = yield gaze_at(grid, index, reason + note, float(importance[index]), importance)
            steps.append(step)
            unsure = max(1 - step.answer.confidence, LEAST_DOUBT)
            importance = unsure * (relevance + doubt(scene, step.answer)) / 2
            reason = f"uncertainty {1 - step.answer.confidence:.2f}"


def doubt(scene: Scene, answer: Answer) -> Tensor:
    """(N,) in [0, 1]: how much each token looks like something in the answer that the reader was unsure of."""
    count = 0 if answer.tokens is None or not answer.readable else min(len(answer.tokens), len(answer.logprobs))
    if answer.tokens is None or count == 0:
        return torch.zeros_like(scene.received[0])
    wrong = -torch.expm1(torch.tensor(answer.logprobs[:count], device=scene.tokens.device))  # (T,) 1 - p
    likeness = cosine(scene.tokens, answer.tokens[:count].unsqueeze(0))[0].clamp(min=0)  # (N, T)
    return (likeness * wrong).amax(-1)
