"""Learned level allocator (B5): shares of the levels that training has fitted to questions."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from saccade.budgets._allocator import START, LevelNet
from saccade.budgets._levels import LevelBudget
from saccade.geometry.levels import fit_shares, num_levels
from saccade.geometry.saved import holds, opened
from saccade.types import Scene


class Allocator(LevelBudget):
    """`tokens` at every fixation, shared among the levels as a trained `LevelNet` says for this question.

    `weights` is a folder that `saccade.training.pyramid.train_allocator` and `saccade.geometry.saved.save` have made.
    Without one it gives what training starts from, 10/20/30/40 % from the finest level to the coarsest: a baseline.
    """

    weights: Annotated[str | None, holds(LevelNet)] = Field(
        None, description="Folder of a trained allocator; none: the shares training starts from."
    )

    def shares(self, scene: Scene) -> Tensor:
        device = scene.valid.device
        if self.weights is None:
            found = torch.tensor([START], device=device).expand(len(scene.grids), -1)
        else:
            with torch.no_grad():
                found = opened(LevelNet, self.weights)(scene)
        return fit_shares(found, num_levels(scene))
