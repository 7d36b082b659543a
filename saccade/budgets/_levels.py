"""What budgets over pyramid levels share: a fixed number of tokens per look, and tables of shares to choose from."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from saccade.budgets import MAX_TOK, Budget
from saccade.geometry.levels import fit_shares, num_levels
from saccade.types import Scene

Shares = tuple[Annotated[float, Field(ge=0)], ...]


class LevelBudget(Budget):
    """`tokens` at every fixation; how the levels share them is the subclass's `shares`."""

    tokens: int = Field(273, ge=1, le=MAX_TOK, description="Visual tokens per fixation.")

    def __call__(self, scene: Scene) -> list[int]:
        return [self.tokens] * len(scene.grids)

    @property
    def most_tok(self) -> int:
        return self.tokens


def shares_field(values: Sequence[float]) -> Shares:
    """A setting that holds one share per level, finest first."""
    field: Shares = Field(tuple(values), min_length=1, max_length=8, description="Shares of the levels, finest first.")
    return field


def pick(kind: Tensor, rows: Sequence[Shares], scene: Scene) -> Tensor:
    """(B, levels) float32: row `kind` (B,) int64 of the tables, fitted to the levels there are."""
    levels = num_levels(scene)
    return torch.cat([fit_shares(torch.tensor([row]), levels) for row in rows]).to(kind.device)[kind]
