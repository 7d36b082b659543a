"""Budgets: how many visual tokens, over how many fixations. One file per budget."""

from abc import abstractmethod
from typing import Any

from torch import Tensor

from saccade.registry import Strategy, find, named
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


def of_tokens(tokens: Any, before: Any) -> dict[str, Any]:
    """The budget that `tokens` asks for: "auto" is `adaptive`; a number or a mode goes to `before` if it takes one.

    `before`: the budget so far, a name or `{"name": ..., settings}`; one that takes no tokens gives way to `fixed`.
    """
    kept = named("budgets", before)
    if tokens == "auto":
        return kept if kept.get("name") == "adaptive" else {"name": "adaptive"}
    if "tokens" not in find("budgets", str(kept.get("name")), Budget).model_fields:
        kept = {"name": "fixed"}
    return {**kept, "tokens": int(tokens) if isinstance(tokens, str) and tokens.isdecimal() else tokens}
