"""Log-polar sampling: the best token of every bin of a log-polar map around the gaze."""

import torch
from pydantic import Field
from torch import Tensor

from saccade.geometry.bins import logpolar_bins
from saccade.geometry.grid import aspects, offset_uv
from saccade.samplers import Sampler
from saccade.tokens.ranking import first_of_bin, rank
from saccade.types import Scene


class LogPolar(Sampler):
    """The token at the gaze, the most important token of each bin, and the rest by importance.

    16 x 17 bins and the gaze's own make 273. Bins near the gaze are smaller than a token and some of those beyond the
    page's edge are empty (on a 64 x 64 grid 82 % hold a token, gaze in the middle); what they leave goes by importance.
    With fewer tokens than bins, the most important of the bins' best are kept.
    """

    num_rho: int = Field(16, ge=1, description="Rings.")
    num_theta: int = Field(17, ge=1, description="Sectors of a ring.")
    alpha_uv: float = Field(0.05, gt=0, description="Radius in longer sides up to which rings are about equally wide.")

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        offset = offset_uv(scene.centre_uv, gaze_uv, aspects(scene.grids, scene.valid.device))  # (B, N, 2)
        radius = torch.hypot(*offset.unbind(-1)).masked_fill(~scene.valid, float("inf"))
        at_gaze = radius == radius.amin(-1, keepdim=True)
        bins = 1 + logpolar_bins(offset, scene.present, self.num_rho, self.num_theta, self.alpha_uv)
        ranks = rank(importance, scene.valid)
        best = first_of_bin(ranks, bins.masked_fill(at_gaze, 0), 1 + self.num_rho * self.num_theta)
        num_tok = ranks.shape[-1]
        return (2 * num_tok * (best & at_gaze) + num_tok * best - ranks).float()
