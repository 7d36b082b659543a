"""Reduction: fewer tokens inside a vision tower, or after it. One file per reduction.

A tower that takes a reduction (`saccade.families`) asks it between the attention and the MLP of every block, as ToMe
does, and once when it has finished. Pruning and merging are one thing, as in `Selection`: `source` says into which slot
each token goes. Means, sizes, positions, features kept from earlier blocks and the final `Grid` follow from it
(`saccade.tokens.merging`): a reduction only decides.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from saccade.registry import Strategy
from saccade.tokens.merging import merge
from saccade.types import Encoding


@dataclass(frozen=True, slots=True)
class Stage:
    """What a reduction sees after the attention of one block: G groups of S tokens, padded.

    A group is what attends to itself in this block: a window, or an image. A token is what the tower's merger makes one
    visual token of: M patches (M = 1 in a plain ViT), that stay together. Tokens merge within their group only.
    """

    layer: int  # of this block, from 0
    num_layers: int
    states: Tensor  # (G, S, M, F), the residual stream after the attention
    keys: Tensor  # (G, S, M, C) of this block's attention, mean over heads, without positions
    size: Tensor  # (G, S) float32, how many tokens went into each; 0 at padding
    valid: Tensor  # (G, S) bool, False at padding
    fixed: Tensor  # (G, S) bool, must stay what it is (a class token)
    image: Tensor  # (G,) int64, which image a group is of


class Reduction(Strategy):
    """What becomes of tokens in and after a tower. Each default does nothing; override what the reduction is about."""

    proportional: ClassVar[bool] = False
    """Whether a token of size s counts s times as a key: log s is added to its attention (Bolya et al. 2023)."""

    stopping: ClassVar[bool] = False
    """Whether `stops` may end a tower early; pictures then go through it one by one."""

    regroups: ClassVar[bool] = False
    """Whether `after` puts tokens into fewer slots; it then takes whole pages alone."""

    def active(self, num_layers: int) -> bool:
        """Whether anything is done inside a tower of that many blocks; if not, the untouched tower runs, bit by bit."""
        return True

    def inside(self, stage: Stage) -> tuple[Tensor, Tensor] | None:
        """Which slot each token of a group goes into, and what it counts there; None: nothing happens in this block.

        Returns: source (G, S) int64, the slots of each group numbered from 0 without gaps, -1 = dropped (and padding);
            weight (G, S) float32 > 0, of each token in the mean that its slot becomes (`stage.size`: ToMe's).
        """
        return None

    def mean(self, states: Tensor, into: Tensor, weight: Tensor, num: int) -> Tensor:
        """(num, M, F): what slots hold of tokens (T, M, F) that go `into` (T,) them, counting `weight` (T,)."""
        return merge(states, into, weight, num)

    def stops(self, layer: int, before: Tensor, after: Tensor) -> bool:
        """Whether the tower ends after this block, given its states before and after it, (tokens, M, F) each."""
        return False

    def after(self, encoding: Encoding) -> Encoding:
        """What it makes of the finished encoding of one image."""
        return encoding
