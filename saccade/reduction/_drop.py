"""Dropping visual tokens between the layers of the language model: what the published peers have in common."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from saccade.errors import ConfigError
from saccade.reduction import Reduction
from saccade.registry import load


@dataclass(frozen=True, slots=True)
class Cut:
    """One drop. Layers of the decoder are counted from 0."""

    before: int  # the first layer that runs without the dropped tokens
    rank: int  # the layer whose attention, paid by the prompt's last token, ranks them; at most `before`
    keep: int  # visual tokens that go on


class Drop(Reduction):
    """Keeps fewer visual tokens the deeper the decoder: a setting of the transformers engine, `engine.drop`.

    All visual tokens enter the language model, so `Answer.visual_tok` counts all of them; what a layer saw on average
    is `effective_tok`. What is dropped depends on the question: keys and values of a canvas cannot be kept, and every
    fixation prefills all of it again.
    """

    @abstractmethod
    def cuts(self, num_layers: int, num_tok: int) -> tuple[Cut, ...]:
        """Where a decoder of `num_layers` drops how many of `num_tok` visual tokens; none: nothing is dropped.

        Raises:
            ConfigError: the decoder has too few layers for the settings.
        """

    def active(self, num_layers: int) -> bool:
        """False: the tower is left as it is."""
        return False

    def effective_tok(self, num_layers: int, num_tok: int) -> float:
        """Visual tokens that a layer of the decoder sees, mean over its layers."""
        seen = [num_tok] * num_layers
        for cut in self.cuts(num_layers, num_tok):
            seen[cut.before :] = [cut.keep] * (num_layers - cut.before)
        return sum(seen) / num_layers


def share_of(num_tok: int, share: float) -> int:
    """That share of the tokens, rounded down, at least one."""
    return max(1, math.floor(num_tok * share + 1e-9))


def drop_of(spec: Any) -> Drop:
    """What the setting `engine.drop` names.

    Raises:
        ConfigError: no such reduction, a setting of it is wrong, or it works in or after the vision tower.
    """
    drop = load("reduction", spec, Reduction)
    if not isinstance(drop, Drop):
        raise ConfigError(
            f"{drop.name()!r} drops nothing inside the decoder: --set engine.reduction.name={drop.name()}"
        )
    return drop
