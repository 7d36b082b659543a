"""Eccentricity in degrees of visual angle, and how much cortex a degree gets at each eccentricity.

The picture is taken as seen on a screen at `px_per_deg`; angles are small-angle: degrees = pixels / px_per_deg.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from saccade.types import Grid

PX_PER_DEG = 33.3
"""Pixels per degree: a 96-dpi screen at about half a metre."""
M0_MM = 17.3
"""Human cortical magnification constant in mm (Horton & Hoyt 1991): M(0) = M0_MM / E0_DEG = 23 mm/deg."""
E0_DEG = 0.75
"""Eccentricity in degrees at which the human magnification is half of what it is at the gaze (Horton & Hoyt 1991)."""


def eccentricity_deg(height_px: int, width_px: int, gaze_uv: Tensor, px_per_deg: float = PX_PER_DEG) -> Tensor:
    """(B, H, W) degrees between each pixel's centre and each gaze (B, 2)."""
    y = torch.arange(height_px, device=gaze_uv.device) + 0.5  # (H,) pixel centres
    x = torch.arange(width_px, device=gaze_uv.device) + 0.5  # (W,)
    dx = x - gaze_uv[:, :1] * width_px  # (B, W)
    dy = y - gaze_uv[:, 1:] * height_px  # (B, H)
    return torch.hypot(dx[:, None, :], dy[:, :, None]) / px_per_deg


def token_eccentricity_deg(
    centre_uv: Tensor, gaze_uv: Tensor, grids: Sequence[Grid], px_per_deg: float = PX_PER_DEG
) -> Tensor:
    """(B, N) degrees between token centres (B, N, 2) and gazes (B, 2), on images of the sizes they were encoded at."""
    size = torch.tensor([(grid.width_px, grid.height_px) for grid in grids], device=centre_uv.device)  # (B, 2)
    return torch.hypot(*((centre_uv - gaze_uv[:, None]) * size[:, None]).unbind(-1)) / px_per_deg


def magnification_mm_per_deg(eccentricity: Tensor, m0_mm: float = M0_MM, e0_deg: float = E0_DEG) -> Tensor:
    """M(e) = M0 / (e + e0): millimetres of V1 per degree of visual field, any shape of degrees in, the same out.

    A distance along a meridian is the integral of M, M0 log(1 + e/e0): the rho of a log-polar map with alpha = e0.
    """
    return m0_mm / (eccentricity + e0_deg)


def nearest(eccentricity: Tensor, valid: Tensor, count: int) -> Tensor:
    """(B, N) bool: of the `valid` tokens the `count` of least eccentricity (B, N), ties to the earlier token."""
    far = eccentricity.masked_fill(~valid, float("inf"))
    order = far.argsort(dim=-1, stable=True)[:, :count]
    return torch.zeros_like(valid).scatter(1, order, True) & valid


def in_bands(eccentricity: Tensor, bands_deg: Sequence[float]) -> Tensor:
    """(B, N) degrees -> (B, len(bands_deg) - 1, N) bool: which lie in [bands_deg[i], bands_deg[i + 1])."""
    edges = torch.tensor(bands_deg, dtype=eccentricity.dtype, device=eccentricity.device)[:, None]
    e = eccentricity[:, None]
    return (e >= edges[:-1]) & (e < edges[1:])


def band_shares(eccentricity: Tensor, weight: Tensor, bands_deg: Sequence[float]) -> Tensor:
    """(B, N) degrees and weights (kept: 1, dropped: 0) -> (B, len(bands_deg) - 1) share of the weight in each band."""
    inside = in_bands(eccentricity, bands_deg) * weight[:, None]
    return inside.sum(-1) / weight.sum(-1, keepdim=True)
