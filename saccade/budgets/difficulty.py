"""Level budgets by the instruction's difficulty: a hard question gives its tokens to fine levels."""

import torch
from pydantic import Field
from torch import Tensor

from saccade.budgets._levels import LevelBudget, Shares, pick, shares_field
from saccade.types import Scene


class Difficulty(LevelBudget):
    """`tokens` at every fixation, shared among the levels by how hard the question looks.

    Difficulty in (0, 1) is the sigmoid of two deviations: of the question's length from `typical_words`, and of the
    spread of its words' embeddings (1 - length of their mean as unit vectors) from `typical_spread`. Both can be
    negative: a sigmoid of sums that cannot is at least 0.5 and calls no question easy. Difficulty is a guess from the
    wording; nothing here knows whether the answer is small print.
    """

    typical_words: float = Field(5.0, ge=0, description="Length of a question of difficulty 0.5.")
    word_weight: float = Field(0.5, ge=0, description="What one word more adds, before the sigmoid.")
    typical_spread: float = Field(0.55, ge=0, le=1, description="Spread of a question of difficulty 0.5.")
    spread_weight: float = Field(2.0, ge=0, description="What a spread larger by 1 adds, before the sigmoid.")
    easy_below: float = Field(0.3, ge=0, le=1, description="Difficulty under which a question is easy.")
    hard_above: float = Field(0.7, ge=0, le=1, description="Difficulty from which it is hard.")
    easy: Shares = shares_field((0.15, 0.20, 0.35, 0.30))
    medium: Shares = shares_field((0.25, 0.30, 0.25, 0.20))
    hard: Shares = shares_field((0.35, 0.30, 0.20, 0.15))

    def shares(self, scene: Scene) -> Tensor:
        difficulty = self.difficulty(scene)
        kind = (difficulty >= self.easy_below).long() + (difficulty >= self.hard_above).long()  # (B,)
        return pick(kind, (self.easy, self.medium, self.hard), scene)

    def difficulty(self, scene: Scene) -> Tensor:
        """(B,) float32 in (0, 1), of each image's question."""
        words = torch.tensor([float(len(query.text.split())) for query in scene.queries])
        unit = [torch.nn.functional.normalize(query.tokens.float(), dim=-1) for query in scene.queries]
        spread = torch.stack([1 - directions.mean(0).norm().cpu() for directions in unit])
        length = self.word_weight * (words - self.typical_words)
        return torch.sigmoid(length + self.spread_weight * (spread - self.typical_spread)).to(scene.valid.device)
