"""Integrators turn the answers of all fixations into one. One file per integrator."""

from abc import abstractmethod
from collections.abc import Sequence

from saccade.registry import Strategy
from saccade.types import Answer, Step


class Integrator(Strategy):
    """Steps of one question, in order -> the answer. "Cannot read", or saying nothing, loses to every answer."""

    @abstractmethod
    def __call__(self, steps: Sequence[Step]) -> Answer:
        """The answer after the last of `steps` (at least one)."""


def readable(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps whose answer says something; all of them when none does."""
    return [step for step in steps if step.answer.text] or steps  # unreadable ones, too, have no text
