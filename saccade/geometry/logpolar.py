"""The log-polar map of an image around a gaze, and back.

rho = log(r + alpha) (Schwartz 1980), r in pixels of the image. Row k of `num_rho` lies at r with
log(1 + r/alpha) = k/(num_rho - 1) * log(1 + r_max/alpha): the first row is the gaze itself, the last the corner
farthest from it. Column j of `num_theta` lies at the angle 2 pi j / num_theta, right first, then down. With alpha = 1
and maxRadius = (1 + r_max)^(num_rho/(num_rho - 1)) that is `cv2.warpPolar(..., WARP_POLAR_LOG)` transposed.

Acuity-matched rows (`spacing="acuity"`) are as dense as acuity 60/(1 + 0.35 e) is high: u = ln(1 + 0.35 e)/0.35, which
is the same map with alpha = 1/0.35 deg, 95 px at 33.3 px per degree. 0 to 60 deg: 33 % of the rows lie within 5 deg.

The look-up tables are kept for the last few (size, bins, gazes). Tensors are sampled by one `grid_sample`; arrays, one
picture as `Picture.rgb` has it, by OpenCV's `remap` with fixed-point tables (1/32 px), on CPU several times as fast.
"""

import math
from functools import lru_cache
from typing import Any, Literal, overload

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from saccade.geometry.biology import ACUITY_PER_DEG
from saccade.geometry.fovea import PX_PER_DEG

Gazes = tuple[tuple[float, float], ...]
Pixels = NDArray[Any]
Spacing = Literal["log", "acuity"]


@overload
def log_polar(
    images: Tensor,
    gaze_uv: Tensor,
    num_rho: int,
    num_theta: int,
    alpha_px: float | None = None,
    spacing: Spacing = "log",
    px_per_deg: float = PX_PER_DEG,
) -> Tensor: ...
@overload
def log_polar(
    images: Pixels,
    gaze_uv: tuple[float, float],
    num_rho: int,
    num_theta: int,
    alpha_px: float | None = None,
    spacing: Spacing = "log",
    px_per_deg: float = PX_PER_DEG,
) -> Pixels: ...
def log_polar(
    images: Tensor | Pixels,
    gaze_uv: Tensor | tuple[float, float],
    num_rho: int,
    num_theta: int,
    alpha_px: float | None = None,
    spacing: Spacing = "log",
    px_per_deg: float = PX_PER_DEG,
) -> Tensor | Pixels:
    """(B, C, H, W) float images around gazes (B, 2) -> (B, C, num_rho, num_theta), bilinear.

    Or one array (H, W) or (H, W, C), uint8 or float32, sides below 32,767 px, around (x, y) ->
    (num_rho, num_theta[, C]). Samples beyond the image repeat its border, so that the way back has something to
    interpolate with. `alpha_px` (1 px) belongs to spacing="log", `px_per_deg` to spacing="acuity".

    Raises:
        ValueError: alpha_px given with spacing="acuity", which sets it.
    """
    alpha = _alpha(alpha_px, spacing, px_per_deg)
    if isinstance(images, Tensor):
        assert isinstance(gaze_uv, Tensor)
        height, width = images.shape[-2:]
        table = _forward_table(height, width, num_rho, num_theta, gaze_key(gaze_uv), alpha).to(images)
        return F.grid_sample(images, _per_image(table, images), padding_mode="border", align_corners=False)
    x, y = gaze_uv
    key = (images.shape[0], images.shape[1], num_rho, num_theta, ((float(x), float(y)),), alpha)
    return _remap(images, _forward_fixed(*key))


@overload
def inverse_log_polar(
    polar: Tensor,
    gaze_uv: Tensor,
    height_px: int,
    width_px: int,
    alpha_px: float | None = None,
    spacing: Spacing = "log",
    px_per_deg: float = PX_PER_DEG,
) -> Tensor: ...
@overload
def inverse_log_polar(
    polar: Pixels,
    gaze_uv: tuple[float, float],
    height_px: int,
    width_px: int,
    alpha_px: float | None = None,
    spacing: Spacing = "log",
    px_per_deg: float = PX_PER_DEG,
) -> Pixels: ...
def inverse_log_polar(
    polar: Tensor | Pixels,
    gaze_uv: Tensor | tuple[float, float],
    height_px: int,
    width_px: int,
    alpha_px: float | None = None,
    spacing: Spacing = "log",
    px_per_deg: float = PX_PER_DEG,
) -> Tensor | Pixels:
    """(B, C, num_rho, num_theta) around gazes (B, 2) -> (B, C, height_px, width_px), sharp at the gaze, coarse far out.

    Or one array (num_rho, num_theta[, C]) around (x, y) -> (height_px, width_px[, C]). Settings as in `log_polar`.
    """
    alpha = _alpha(alpha_px, spacing, px_per_deg)
    if isinstance(polar, Tensor):
        assert isinstance(gaze_uv, Tensor)
        num_rho, num_theta = polar.shape[-2:]
        table = inverse_table(height_px, width_px, num_rho, num_theta, gaze_key(gaze_uv), alpha).to(polar)
        wrapped = torch.cat([polar, polar[..., :1]], dim=-1)  # the angle 2 pi is the angle 0
        return F.grid_sample(wrapped, _per_image(table, polar), padding_mode="border", align_corners=True)
    x, y = gaze_uv
    key = (height_px, width_px, polar.shape[0], polar.shape[1], ((float(x), float(y)),), alpha)
    return _remap(np.concatenate([polar, polar[:, :1]], axis=1), _inverse_fixed(*key))


def cell_px(
    radius_px: Tensor, farthest_px: float, num_rho: int, num_theta: int, alpha_px: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Pixels from row to row and from column to column at these radii (any shape): how much the map compresses.

    Both grow in proportion to the eccentricity beyond alpha, so the pixels of a cell with its square.
    """
    rows = (radius_px + alpha_px) * math.log1p(farthest_px / alpha_px) / (num_rho - 1)
    return rows, radius_px * (2 * math.pi / num_theta)


def _alpha(alpha_px: float | None, spacing: Spacing, px_per_deg: float) -> float:
    """The alpha in pixels that a spacing stands for."""
    if spacing == "log":
        return 1.0 if alpha_px is None else float(alpha_px)
    if spacing != "acuity":
        raise ValueError(f"no spacing {spacing!r}. There are: log, acuity")
    if alpha_px is not None:
        raise ValueError(f"alpha_px={alpha_px} with spacing='acuity', which sets it: leave it out")
    return px_per_deg / ACUITY_PER_DEG


def gaze_key(gaze_uv: Tensor) -> Gazes:
    """Gazes (B, 2) as a key of the tables: a single one when all are equal."""
    same = bool((gaze_uv == gaze_uv[:1]).all())
    return tuple((x, y) for x, y in (gaze_uv[:1] if same else gaze_uv).tolist())


def _per_image(table: Tensor, images: Tensor) -> Tensor:
    return table.expand(images.shape[0], -1, -1, -1)


def reach(height: int, width: int, gazes: Gazes, alpha_px: float) -> tuple[Tensor, Tensor]:
    """Gazes (G, 2) in pixel indices (pixel centres are whole numbers), and log(1 + r_max/alpha) (G, 1, 1), float64."""
    last = torch.tensor([width - 1, height - 1], dtype=torch.float64)
    centre = torch.tensor(gazes, dtype=torch.float64) * (last + 1) - 0.5
    far = torch.maximum(centre.abs(), (last - centre).abs()).norm(dim=-1)  # to the farthest corner pixel
    return centre, torch.log1p(far / alpha_px).clamp(min=1e-9).view(-1, 1, 1)


def places(height: int, width: int, centre: Tensor, rho: Tensor, alpha_px: float) -> Tensor:
    """(G, R, T, 2) float32 places of samples at log(1 + r/alpha) = `rho` (G, R, T or 1) on T angles.

    `centre` (G, 2) in pixel indices; the places are in grid_sample's units with align_corners=False.
    """
    theta = torch.arange(rho.shape[-1], dtype=torch.float64) * (2 * torch.pi / rho.shape[-1])  # (T,)
    radius = alpha_px * torch.expm1(rho)
    x = (centre[:, 0].view(-1, 1, 1) + radius * theta.cos() + 0.5) * (2 / width) - 1
    y = (centre[:, 1].view(-1, 1, 1) + radius * theta.sin() + 0.5) * (2 / height) - 1
    return torch.stack([x, y], dim=-1).float()


@lru_cache(maxsize=4)
def _forward_table(height: int, width: int, num_rho: int, num_theta: int, gazes: Gazes, alpha_px: float) -> Tensor:
    """(G, num_rho, num_theta, 2) float32 places of the samples, in grid_sample's units with align_corners=False."""
    centre, log_reach = reach(height, width, gazes, alpha_px)
    rho = torch.linspace(0, 1, num_rho, dtype=torch.float64).view(1, -1, 1) * log_reach  # (G, R, 1)
    return places(height, width, centre, rho.expand(-1, -1, num_theta), alpha_px)


@lru_cache(maxsize=4)
def inverse_table(height: int, width: int, num_rho: int, num_theta: int, gazes: Gazes, alpha_px: float) -> Tensor:
    """(G, height, width, 2) float32 places in a map with its first column repeated, for align_corners=True."""
    centre, log_reach = reach(height, width, gazes, alpha_px)
    dx = (torch.arange(width) - centre[:, :1])[:, None, :]  # (G, 1, W)
    dy = (torch.arange(height) - centre[:, 1:])[:, :, None]  # (G, H, 1)
    rho = torch.log1p(torch.hypot(dx, dy) / alpha_px) / log_reach  # (G, H, W), 0 at the gaze, 1 farthest from it
    turn = (torch.atan2(dy, dx) / (2 * torch.pi)).remainder(1.0)  # 0 to the right, 1/4 below
    return torch.stack([turn * 2 - 1, rho * 2 - 1], dim=-1).float()


@lru_cache(maxsize=4)
def _forward_fixed(
    height: int, width: int, num_rho: int, num_theta: int, gazes: Gazes, alpha_px: float
) -> tuple[Pixels, Pixels]:
    """`_forward_table` as OpenCV's fixed-point maps, in pixels of the image."""
    x, y = _forward_table(height, width, num_rho, num_theta, gazes, alpha_px)[0].double().unbind(-1)
    return _fixed((x + 1) * (width / 2) - 0.5, (y + 1) * (height / 2) - 0.5)


@lru_cache(maxsize=4)
def _inverse_fixed(
    height: int, width: int, num_rho: int, num_theta: int, gazes: Gazes, alpha_px: float
) -> tuple[Pixels, Pixels]:
    """`inverse_table` as OpenCV's fixed-point maps, in cells of the map with its first column repeated."""
    turn, rho = inverse_table(height, width, num_rho, num_theta, gazes, alpha_px)[0].double().unbind(-1)
    return _fixed((turn + 1) * (num_theta / 2), (rho + 1) * ((num_rho - 1) / 2))


def _fixed(x: Tensor, y: Tensor) -> tuple[Pixels, Pixels]:
    whole, part = cv2.convertMaps(x.float().numpy(), y.float().numpy(), cv2.CV_16SC2)
    return whole, part


def _remap(pixels: Pixels, maps: tuple[Pixels, Pixels]) -> Pixels:
    moved: Pixels = cv2.remap(pixels, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved
