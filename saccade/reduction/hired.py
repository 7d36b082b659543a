"""HiRED: a budget over partitions of the image by attention in the tower, their best tokens before the decoder.

Arif et al. 2024, arXiv:2408.10945: a partition gets tokens in proportion to the attention it receives, and keeps those
that receive most. There, a class token of a CLIP tower pays that attention, in the first layer for the budget and in
the last for the tokens, and partitions are the tiles of LLaVA-NeXT, with a thumbnail beside them. Towers here have one
view and most no class token: both are the attention received in the last full layer, mean over heads and queries, and
partitions are cells of a grid laid over the image.
"""

from typing import ClassVar

import torch
from pydantic import Field

from saccade.reduction import Reduction
from saccade.reduction._slots import regroup
from saccade.tokens.apportion import apportion
from saccade.types import Encoding, cells_at


class HiRED(Reduction):
    """Keeps `keep` tokens of every encoding, whatever is asked; with `sampler: full` all of them are read."""

    regroups: ClassVar[bool] = True

    keep: int = Field(273, ge=1, description="Visual tokens of an image that leave the encoder.")
    rows: int = Field(2, ge=1, description="Partitions from top to bottom.")
    cols: int = Field(2, ge=1, description="Partitions from left to right.")

    def active(self, num_layers: int) -> bool:
        return False

    def after(self, encoding: Encoding) -> Encoding:
        if self.keep >= len(encoding):
            return encoding
        row, col = cells_at(encoding.grid.centre_uv, self.rows, self.cols)
        part = row * self.cols + col
        mass = torch.zeros(self.rows * self.cols).index_add_(0, part, encoding.received)
        kept = apportion(encoding.received, part, mass, self.keep)
        return regroup(encoding, torch.where(kept, kept.cumsum(0) - 1, -1), self.keep)
