"""Learned budget: how many tokens a trained network gives a picture and a question."""

from typing import Annotated

import torch
from pydantic import Field

from saccade.budgets import MAX_TOK, Budget
from saccade.heads.budget import BudgetNet
from saccade.heads.files import holds, load_cached
from saccade.types import Scene


class Predicted(Budget):
    """The most likely budget of a trained `BudgetNet`, the smaller of equals, and never more than `most`.

    `weights` is a folder that `saccade train budget` or `saccade train head --reward --budgets` has made.
    """

    weights: Annotated[str, holds(BudgetNet)] = Field(description="Folder of a trained budget.")
    most: int = Field(456, ge=1, le=MAX_TOK, description="Hard cap: visual tokens per fixation.")

    def __call__(self, scene: Scene) -> list[int]:
        net = load_cached(BudgetNet, self.weights)
        with torch.no_grad():
            best = net(net.features(scene)).argmax(-1).tolist()
        return [min(self.most, net.levels[place]) for place in best]

    @property
    def most_tok(self) -> int:
        return min(self.most, load_cached(BudgetNet, self.weights).levels[-1])
