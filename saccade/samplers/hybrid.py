"""Hybrid sampling: mostly the most important tokens, and some from everywhere else."""

from pydantic import Field
from torch import Tensor

from saccade.geometry.bins import logpolar_bins
from saccade.geometry.grid import aspects, offset_uv
from saccade.samplers import Sampler
from saccade.tokens.ranking import first_of_bin, rank
from saccade.types import Scene


class Hybrid(Sampler):
    """`ratio` of the tokens by importance, then the best token of each log-polar bin that has none, then by importance.

    When the bins without a token outnumber what is left, those with the most important tokens win.
    """

    ratio: float = Field(0.7, ge=0, le=1, description="Share of the tokens kept by importance alone.")
    num_rho: int = Field(8, ge=1, description="Rings around the gaze.")
    num_theta: int = Field(10, ge=1, description="Sectors of a ring.")
    alpha_uv: float = Field(0.05, gt=0, description="Radius in longer sides up to which rings are about equally wide.")

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        offset = offset_uv(scene.centre_uv, gaze_uv, aspects(scene.grids, scene.valid.device))  # (B, N, 2)
        bins = logpolar_bins(offset, scene.present, self.num_rho, self.num_theta, self.alpha_uv)
        ranks = rank(importance, scene.valid)
        top = ranks < round(self.ratio * keep)
        # The best token of a bin that the top reaches into is itself among the top: only uncovered bins add one.
        covers = first_of_bin(ranks, bins, self.num_rho * self.num_theta) & ~top
        num_tok = ranks.shape[-1]
        return (2 * num_tok * top + num_tok * covers - ranks).float()
