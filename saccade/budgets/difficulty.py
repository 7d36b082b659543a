"""Level budgets by the instruction's difficulty (B3): a hard question gives its tokens to fine levels."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from saccade.budgets import Budget
from saccade.geometry.levels import fit_shares, num_levels
from saccade.types import Scene

Shares = tuple[Annotated[float, Field(ge=0)], ...]


class Difficulty(Budget):
    """`tokens` at every fixation, shared among the levels by how hard the question looks.

    Difficulty in (0, 1) is the sigmoid of two deviations: of the question's length from `typical_words`, and of the
    spread of its words' embeddings (1 - length of their mean as unit vectors) from `typical_spread`. Both can be
    negative: a sigmoid of sums that cannot is at least 0.5 and calls no question easy. Difficulty is a guess from the
    wording; nothing here knows whether the answer is small print.
    """

    tokens: int = Field(273, ge=1, description="Visual tokens per fixation.")
    typical_words: float = Field(5.0, ge=0, description="Length of a question of difficulty 0.5.")
    word_weight: float = Field(0.5, ge=0, description="What one word more adds, before the sigmoid.")
    typical_spread: float = Field(0.55, ge=0, le=1, description="Spread of a question of difficulty 0.5.")
    spread_weight: float = Field(2.0, ge=0, description="What a spread larger by 1 adds, before the sigmoid.")
    easy_below: float = Field(0.3, ge=0, le=1, description="Difficulty under which a question is easy.")
    hard_above: float = Field(0.7, ge=0, le=1, description="Difficulty from which it is hard.")
    easy: Shares = Field(
        (0.15, 0.20, 0.35, 0.30), min_length=1, max_length=8, description="Shares of the levels, finest first."
    )
    medium: Shares = Field(
        (0.25, 0.30, 0.25, 0.20), min_length=1, max_length=8, description="Shares of the levels, finest first."
    )
    hard: Shares = Field(
        (0.35, 0.30, 0.20, 0.15), min_length=1, max_length=8, description="Shares of the levels, finest first."
    )

    def __call__(self, scene: Scene) -> list[int]:
        return [self.tokens] * len(scene.grids)

    @property
    def most_tok(self) -> int:
        return self.tokens

    def shares(self, scene: Scene) -> Tensor:
        found = self.difficulty(scene)
        kind = (found >= self.easy_below).long() + (found >= self.hard_above).long()  # (B,)
        levels = num_levels(scene)
        tables = [fit_shares(torch.tensor([row]), levels) for row in (self.easy, self.medium, self.hard)]
        return torch.cat(tables).to(found.device)[kind]

    def difficulty(self, scene: Scene) -> Tensor:
        """(B,) float32 in (0, 1), of each image's question."""
        words = torch.tensor([float(len(query.text.split())) for query in scene.queries])
        unit = [torch.nn.functional.normalize(query.tokens.float(), dim=-1) for query in scene.queries]
        spread = torch.stack([1 - directions.mean(0).norm().cpu() for directions in unit])
        length = self.word_weight * (words - self.typical_words)
        return torch.sigmoid(length + self.spread_weight * (spread - self.typical_spread)).to(scene.valid.device)
