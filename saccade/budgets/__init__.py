"""Budgets: how many visual tokens, over how many fixations. One file per budget."""

from abc import abstractmethod

from torch import Tensor

from saccade.registry import Strategy
from saccade.types import Scene

MAX_TOK = 2**24
"""Of a number of tokens among the settings: far beyond any context."""


class Budget(Strategy):
    """Scene batch -> tokens per fixation for each image."""

    @abstractmethod
    def __call__(self, scene: Scene) -> list[int]:
        """One number of tokens per fixation for each image of the batch."""

    def shares(self, scene: Scene) -> Tensor | None:
        """(B, levels) float32: the share of a look's tokens that each level should get, finest first; None: no wish.

        Rows sum to 1. Samplers that choose level by level (`pyramid`) follow it.
        """
        return None

    @property
    @abstractmethod
    def most_tok(self) -> int:
        """The most tokens it ever gives one fixation: what `resize` and `random` may use, times the fixations."""
