"""Weighted vote: answers that several looks agree on win, and surer looks count more."""

from collections import defaultdict
from collections.abc import Sequence

from saccade.integration import Integrator, readable
from saccade.types import Answer, Step


class WeightedVote(Integrator):
    """Answers with the same text, case and spacing aside, add up their calibrated confidence: an expected score, which
    compares between looks. How important a gaze's place was does not: every look rescales what is left to 1. The most
    confident of the winning text is returned. Of equals the later wins, which has seen more.
    """

    def __call__(self, steps: Sequence[Step]) -> Answer:
        votes: defaultdict[str, float] = defaultdict(float)
        later_first = readable(steps)[::-1]
        for step in later_first:
            votes[_text(step)] += step.answer.confidence
        winner = max(votes, key=lambda text: votes[text])
        voters = [step.answer for step in later_first if _text(step) == winner]
        return max(voters, key=lambda answer: answer.confidence)


def _text(step: Step) -> str:
    return " ".join(step.answer.text.casefold().split())
