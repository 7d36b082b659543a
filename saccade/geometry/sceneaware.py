"""The log-polar map that looks more closely where a saliency map says so.

A point at radius r with saliency s is sampled as finely as a plain map samples at the effective radius
r / (1 + beta s): with s = 0.8 and beta = 0.3 that is 0.81 r. Along each ray the row coordinate is therefore

    rho(r) = integral from 0 to r of dr' / (alpha + r'/(1 + beta s(r'))),

scaled to the same first and last row on every ray. It rises with r whatever the saliency, so the map can be inverted.
Without saliency it is log(1 + r/alpha); with a constant one it is log(1 + r_eff/alpha), the effective radius put into
the plain map. Where saliency varies, doing only that would fold the map at every edge, and leave the rows inside a
salient region as they were: log(r/(1 + beta s)) = log r - constant.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.geometry.logpolar import gaze_key, inverse_log_polar, inverse_table, log_polar, places, reach

BETA = 0.3
"""How much full saliency shrinks the radius: to 1/1.3 of it."""
STEPS_PER_ROW = 4  # of the integral


def scene_log_polar(
    images: Tensor,
    saliency: Tensor,
    gaze_uv: Tensor,
    num_rho: int,
    num_theta: int,
    beta: float = BETA,
    alpha_px: float = 1.0,
) -> Tensor:
    """(B, C, H, W) float images, saliency (B, H, W) in [0, 1], gazes (B, 2) -> (B, C, num_rho, num_theta), bilinear.

    beta = 0 or no saliency: the plain `log_polar`.
    """
    table = scene_places(saliency, gaze_uv, num_rho, num_theta, beta, alpha_px).to(images)
    return F.grid_sample(images, table, padding_mode="border", align_corners=False)


def inverse_scene_log_polar(
    polar: Tensor, saliency: Tensor, gaze_uv: Tensor, beta: float = BETA, alpha_px: float = 1.0
) -> Tensor:
    """(B, C, num_rho, num_theta) -> (B, C, H, W), with the saliency (B, H, W) and settings of the map itself.

    The inverse of `scene_log_polar`; it is here for that law's test.
    """
    (height, width), (num_rho, num_theta) = saliency.shape[-2:], polar.shape[-2:]
    share = row_share(saliency, gaze_uv, num_rho, num_theta, beta, alpha_px)  # (B, S, T)
    rho = inverse_log_polar(share[:, None], gaze_uv, height, width, alpha_px)[:, 0]  # (B, H, W)
    turn = inverse_table(height, width, num_rho, num_theta, gaze_key(gaze_uv), alpha_px)[..., 0].to(rho)
    table = torch.stack([turn.expand_as(rho), rho * 2 - 1], dim=-1).to(polar)
    wrapped = torch.cat([polar, polar[..., :1]], dim=-1)  # the angle 2 pi is the angle 0
    return F.grid_sample(wrapped, table, padding_mode="border", align_corners=True)


def scene_places(
    saliency: Tensor, gaze_uv: Tensor, num_rho: int, num_theta: int, beta: float = BETA, alpha_px: float = 1.0
) -> Tensor:
    """(B, num_rho, num_theta, 2) float32: where `scene_log_polar` samples, in grid_sample's units."""
    height, width = saliency.shape[-2:]
    share = row_share(saliency, gaze_uv, num_rho, num_theta, beta, alpha_px)  # (B, S, T)
    steps = _invert(share.transpose(1, 2).contiguous(), num_rho).transpose(1, 2).cpu()  # (B, R, T)
    centre, log_reach = reach(height, width, gaze_key(gaze_uv), alpha_px)
    return places(height, width, centre, steps * log_reach, alpha_px)


def row_share(saliency: Tensor, gaze_uv: Tensor, num_rho: int, num_theta: int, beta: float, alpha_px: float) -> Tensor:
    """(B, S, T) float64 in [0, 1]: rho at S equal steps of log(1 + r/alpha) on each of T rays, from gaze to corner."""
    height, width = saliency.shape[-2:]
    num_steps = STEPS_PER_ROW * (num_rho - 1) + 1
    seen = log_polar(saliency[:, None].double(), gaze_uv, num_steps, num_theta, alpha_px)[:, 0]  # (B, S, T)
    shrunk = 1 + beta * seen
    _, log_reach = reach(height, width, gaze_key(gaze_uv), alpha_px)
    steps = torch.linspace(0, 1, num_steps, dtype=torch.float64).view(1, -1, 1) * log_reach
    radius = (alpha_px * torch.expm1(steps)).to(shrunk)
    density = (alpha_px + radius) / (alpha_px + radius / shrunk)  # d rho over a step of log(1 + r/alpha)
    rho = F.pad(((density[:, 1:] + density[:, :-1]) / 2).cumsum(1), (0, 0, 1, 0))
    return rho / rho[:, -1:]


def _invert(share: Tensor, num_rho: int) -> Tensor:
    """(B, T, S) rising from 0 to 1 over equal steps -> (B, T, num_rho) places in [0, 1] where it is k/(num_rho - 1)."""
    rows = torch.linspace(0, 1, num_rho, dtype=share.dtype, device=share.device).expand(*share.shape[:2], -1)
    after = torch.searchsorted(share, rows.contiguous()).clamp(1, share.shape[-1] - 1)
    low, high = share.gather(-1, after - 1), share.gather(-1, after)
    return (after - 1 + (rows - low) / (high - low)) / (share.shape[-1] - 1)
