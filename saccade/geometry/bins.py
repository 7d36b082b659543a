"""Bins of the page that tokens fall into: square regions, and rings and sectors around a gaze."""

import torch
from torch import Tensor

from saccade.types import cells_at


def regions(centre_uv: Tensor, level: Tensor, side: int) -> Tensor:
    """(B, N) int64: the region of its own level, of `side` x `side`, that each token's centre (B, N, 2) lies in."""
    row, col = cells_at(centre_uv, side, side)
    return (level * side + row) * side + col


def logpolar_bins(offset: Tensor, present: Tensor, num_rho: int, num_theta: int, alpha: float) -> Tensor:
    """(B, N) int64 bin rho * num_theta + theta of tokens at `offset` (B, N, 2) from the gaze, x right and y down.

    rho = log(r + alpha) in equal steps from the gaze to the farthest present token; `alpha`, in the unit of `offset`,
    is the radius up to which rings are about equally wide. theta = 0 is centred straight below the gaze, and the bins
    are mirror images of each other about the vertical. Only with an odd `num_theta` is there one border on that axis,
    straight above the gaze.
    """
    radius = torch.hypot(*offset.unbind(-1))  # (B, N)
    farthest = radius.masked_fill(~present, 0.0).amax(-1, keepdim=True)
    share = torch.log1p(radius / alpha) / torch.log1p(farthest / alpha).clamp(min=1e-9)  # 0 at the gaze, 1 farthest
    rho = (share * num_rho).long().clamp(max=num_rho - 1)
    turn = torch.atan2(offset[..., 0].abs(), offset[..., 1]) / (2 * torch.pi)  # 0 below, 1/2 above, both sides alike
    theta = (turn * num_theta + 0.5).long() * offset[..., 0].sign().long().masked_fill(offset[..., 0] == 0, 1)
    return rho * num_theta + theta.remainder(num_theta)
