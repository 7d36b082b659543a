"""Learned level allocator: shares of the levels that training has fitted to questions."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from saccade.budgets._levels import LevelBudget
from saccade.geometry.levels import fit_shares, num_levels
from saccade.heads.allocator import START, LevelNet, whole_tok
from saccade.heads.files import holds, load_cached
from saccade.types import Scene


class Allocator(LevelBudget):
    """`tokens` at every fixation, shared among the levels as a trained `LevelNet` says for this question.

    `weights` is a folder that `saccade train levels` or `saccade train joint` has made; the latter's may also leave
    tokens unspent, where it has learned that they buy nothing. Without one it gives what training starts from,
    10/20/30/40 % from the finest level to the coarsest: a baseline.
    """

    weights: Annotated[str | None, holds(LevelNet)] = Field(
        None, description="Folder of a trained allocator; none: the shares training starts from."
    )

    def __call__(self, scene: Scene) -> list[int]:
        if self.weights is None or not load_cached(LevelNet, self.weights).spare:
            return super().__call__(scene)
        with torch.no_grad():
            spent = load_cached(LevelNet, self.weights)(scene).sum(-1)
        return whole_tok(spent, self.tokens).tolist()

    def shares(self, scene: Scene) -> Tensor:
        device = scene.valid.device
        if self.weights is None:
            shares = torch.tensor([START], device=device).expand(len(scene.grids), -1)
        else:
            with torch.no_grad():
                shares = load_cached(LevelNet, self.weights)(scene)
        return fit_shares(shares, num_levels(scene))
