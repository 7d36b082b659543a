"""Pooling: every block of neighbouring tokens becomes one, by mean or maximum, before the language model."""

from typing import ClassVar, Literal

import torch
from pydantic import Field

from saccade.reduction import Reduction
from saccade.reduction._slots import regroup
from saccade.types import Encoding


class Pooling(Reduction):
    """side x side tokens to one, which stands at the floor of their centre; blocks at the edges are smaller."""

    regroups: ClassVar[bool] = True

    side: int = Field(2, ge=1, description="Tokens along each side of a block; 1 pools nothing.")
    how: Literal["mean", "max"] = Field("mean", description="How a block's tokens become one, value by value.")

    def active(self, num_layers: int) -> bool:
        return False

    def after(self, encoding: Encoding) -> Encoding:
        if self.side == 1:
            return encoding
        grid = encoding.grid
        block = grid.row // self.side * -(-grid.cols // self.side) + grid.col // self.side
        used, into = torch.unique(block, return_inverse=True)
        return regroup(encoding, into, len(used), self.how)
