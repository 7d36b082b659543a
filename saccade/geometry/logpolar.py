"""The log-polar map of an image around a gaze, and back (G4).

rho = log(r + alpha) (Schwartz 1980), r in pixels of the image. Row k of `num_rho` lies at r with
log(1 + r/alpha) = k/(num_rho - 1) * log(1 + r_max/alpha): the first row is the gaze itself, the last the corner
farthest from it. Column j of `num_theta` lies at the angle 2 pi j / num_theta, right first, then down. With alpha = 1
and maxRadius = (1 + r_max)^(num_rho/(num_rho - 1)) that is `cv2.warpPolar(..., WARP_POLAR_LOG)` transposed.
The look-up tables are kept for the last few (size, bins, gazes); applying one is a single `grid_sample`.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Gazes = tuple[tuple[float, float], ...]


def log_polar(images: Tensor, gaze_uv: Tensor, num_rho: int, num_theta: int, alpha_px: float = 1.0) -> Tensor:
    """(B, C, H, W) float images around gazes (B, 2) -> (B, C, num_rho, num_theta), bilinear.

    Samples beyond the image repeat its border, so that the way back has something to interpolate with.
    """
    height, width = images.shape[-2:]
    table = _forward_table(height, width, num_rho, num_theta, _gazes(gaze_uv), alpha_px).to(images)
    return F.grid_sample(images, _per_image(table, images), padding_mode="border", align_corners=False)


def inverse_log_polar(polar: Tensor, gaze_uv: Tensor, height_px: int, width_px: int, alpha_px: float = 1.0) -> Tensor:
    """(B, C, num_rho, num_theta) around gazes (B, 2) -> (B, C, height_px, width_px), sharp at the gaze, coarse afar."""
    num_rho, num_theta = polar.shape[-2:]
    table = _inverse_table(height_px, width_px, num_rho, num_theta, _gazes(gaze_uv), alpha_px).to(polar)
    wrapped = torch.cat([polar, polar[..., :1]], dim=-1)  # the angle 2 pi is the angle 0
    return F.grid_sample(wrapped, _per_image(table, polar), padding_mode="border", align_corners=True)


def _gazes(gaze_uv: Tensor) -> Gazes:
    """Gazes as a key of the tables: one when all are equal."""
    same = bool((gaze_uv == gaze_uv[:1]).all())
    return tuple((x, y) for x, y in (gaze_uv[:1] if same else gaze_uv).tolist())


def _per_image(table: Tensor, images: Tensor) -> Tensor:
    return table.expand(images.shape[0], -1, -1, -1)


def _reach(height: int, width: int, gazes: Gazes, alpha_px: float) -> tuple[Tensor, Tensor]:
    """Gazes (G, 2) in pixel indices (pixel centres are whole numbers), and log(1 + r_max/alpha) (G, 1, 1)."""
    last = torch.tensor([width - 1, height - 1], dtype=torch.float64)
    centre = torch.tensor(gazes, dtype=torch.float64) * (last + 1) - 0.5
    far = torch.maximum(centre.abs(), (last - centre).abs()).norm(dim=-1)  # to the farthest corner pixel
    return centre, torch.log1p(far / alpha_px).clamp(min=1e-9).view(-1, 1, 1)


@lru_cache(maxsize=4)
def _forward_table(height: int, width: int, num_rho: int, num_theta: int, gazes: Gazes, alpha_px: float) -> Tensor:
    """(G, num_rho, num_theta, 2) float32 places of the samples, in grid_sample's units with align_corners=False."""
    centre, reach = _reach(height, width, gazes, alpha_px)
    rho = torch.linspace(0, 1, num_rho, dtype=torch.float64).view(1, -1, 1) * reach  # (G, R, 1)
    theta = torch.arange(num_theta, dtype=torch.float64) * (2 * torch.pi / num_theta)  # (T,)
    radius = alpha_px * torch.expm1(rho)
    x = (centre[:, 0].view(-1, 1, 1) + radius * theta.cos() + 0.5) * (2 / width) - 1
    y = (centre[:, 1].view(-1, 1, 1) + radius * theta.sin() + 0.5) * (2 / height) - 1
    return torch.stack([x, y], dim=-1).float()


@lru_cache(maxsize=4)
def _inverse_table(height: int, width: int, num_rho: int, num_theta: int, gazes: Gazes, alpha_px: float) -> Tensor:
    """(G, height, width, 2) float32 places in a map with its first column repeated, for align_corners=True."""
    centre, reach = _reach(height, width, gazes, alpha_px)
    dx = (torch.arange(width) - centre[:, :1])[:, None, :]  # (G, 1, W)
    dy = (torch.arange(height) - centre[:, 1:])[:, :, None]  # (G, H, 1)
    rho = torch.log1p(torch.hypot(dx, dy) / alpha_px) / reach  # (G, H, W), 0 at the gaze, 1 at the farthest corner
    turn = (torch.atan2(dy, dx) / (2 * torch.pi)).remainder(1.0)  # 0 to the right, 1/4 below
    return torch.stack([turn * 2 - 1, rho * 2 - 1], dim=-1).float()
