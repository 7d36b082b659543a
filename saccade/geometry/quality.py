"""What foveation costs a picture: SSIM by eccentricity after the log-polar map and its inverse.

SSIM as Wang, Bovik, Sheikh & Simoncelli (2004): Gaussian windows of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03.
"""

from collections.abc import Sequence
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.geometry.fovea import PX_PER_DEG, eccentricity_deg, in_bands
from saccade.geometry.logpolar import Spacing, inverse_log_polar, log_polar
from saccade.geometry.sceneaware import inverse_scene_log_polar, scene_log_polar
from saccade.picture import Picture

BANDS_DEG = (0.0, 5.0, 15.0, inf)
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


def pixels_of(picture: Picture) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1].

    Raises:
        PictureError: the picture cannot be read.
    """
    return torch.from_numpy(picture.rgb.copy()).permute(2, 0, 1)[None].float() / 255


def ssim_map(images: Tensor, others: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] against others of the same shape -> (B, H, W), mean over channels; 1 where they are equal.

    Windows that leave the image see it mirrored; sides of at least 6 px.
    """
    channels = images.shape[1]
    offset = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    line = torch.exp(-(offset**2) / (2 * SIGMA**2))
    line = (line / line.sum()).expand(channels, 1, 1, -1)

    def mean(values: Tensor) -> Tensor:
        padded = F.pad(values, [WINDOW // 2] * 4, mode="reflect")
        return F.conv2d(F.conv2d(padded, line, groups=channels), line.transpose(-1, -2), groups=channels)

    a, b = mean(images), mean(others)
    var_a, var_b = mean(images**2) - a**2, mean(others**2) - b**2
    together = mean(images * others) - a * b
    c1, c2 = K1**2, K2**2
    return ((2 * a * b + c1) * (2 * together + c2) / ((a**2 + b**2 + c1) * (var_a + var_b + c2))).mean(1)


def foveated(
    images: Tensor,
    gaze_uv: Tensor,
    bins: tuple[int, int],
    alpha_px: float | None = None,
    spacing: Spacing = "log",
    px_per_deg: float = PX_PER_DEG,
) -> Tensor:
    """(B, C, H, W) -> the same shape, through a log-polar map of bins (num_rho, num_theta) around gazes (B, 2)."""
    height, width = images.shape[-2:]
    polar = log_polar(images, gaze_uv, *bins, alpha_px, spacing, px_per_deg)
    return inverse_log_polar(polar, gaze_uv, height, width, alpha_px, spacing, px_per_deg)


def foveated_image(
    picture: Picture, gaze_uv: tuple[float, float], bins: tuple[int, int], spacing: Spacing = "log"
) -> Picture:
    """The picture as foveation leaves it: as large, sharp at the gaze, through bins (num_rho, num_theta).

    Raises:
        PictureError: the picture cannot be read.
    """
    pixels = picture.rgb
    polar = log_polar(pixels, gaze_uv, *bins, spacing=spacing)
    height, width = pixels.shape[:2]
    return Picture.open(inverse_log_polar(polar, gaze_uv, height, width, spacing=spacing))


def scene_image(picture: Picture, gaze_uv: tuple[float, float], bins: tuple[int, int]) -> Picture:
    """The picture through a log-polar map that is finer where the picture itself has edges (`saliency_of`).

    The way back knows the saliency; what it would cost to send is not counted.

    Raises:
        PictureError: the picture cannot be read.
    """
    pixels, gaze = pixels_of(picture), torch.tensor([gaze_uv])
    saliency = saliency_of(pixels)
    polar = scene_log_polar(pixels, saliency, gaze, *bins)
    return _opened(inverse_scene_log_polar(polar, saliency, gaze))


def saliency_of(images: Tensor, cell_px: int = 16) -> Tensor:
    """(B, C, H, W) -> (B, H, W) in [0, 1]: mean gradient of the grey in cells, over the highest, smooth in between."""
    grey = images.mean(1, keepdim=True)
    down, right = F.pad(grey.diff(dim=-2), (0, 0, 0, 1)), F.pad(grey.diff(dim=-1), (0, 1))
    cells = F.avg_pool2d(torch.hypot(down, right), min(cell_px, *images.shape[-2:]), ceil_mode=True)
    cells = cells / cells.amax((-2, -1), keepdim=True).clamp(min=1e-9)
    return F.interpolate(cells, images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def uniform(images: Tensor, num_samples: int) -> Tensor:
    """(B, C, H, W) -> the same shape, through an even grid of at most `num_samples` area averages, and back."""
    height, width = images.shape[-2:]
    scale = min(1.0, (num_samples / (height * width)) ** 0.5)
    small = max(1, int(height * scale)), max(1, int(width * scale))
    reduced = F.interpolate(images, small, mode="area")
    return F.interpolate(reduced, (height, width), mode="bilinear", align_corners=False)


def even_image(picture: Picture, num_samples: int) -> Picture:
    """The picture through an even grid of at most `num_samples` averages: what foveation is compared with.

    Raises:
        PictureError: the picture cannot be read.
    """
    return _opened(uniform(pixels_of(picture), num_samples))


def _opened(image: Tensor) -> Picture:
    """(1, 3, H, W) in [0, 1] as a picture."""
    pixels = (255 * image[0]).round().clamp(0, 255).byte()
    return Picture.open(pixels.permute(1, 2, 0).contiguous().numpy())


def ssim_by_band(
    images: Tensor,
    others: Tensor,
    gaze_uv: Tensor,
    bands_deg: Sequence[float] = BANDS_DEG,
    px_per_deg: float = PX_PER_DEG,
) -> Tensor:
    """(B, len(bands_deg) - 1) mean SSIM of the pixels between two eccentricities; NaN where a band holds none."""
    height, width = images.shape[-2:]
    eccentricity = eccentricity_deg(height, width, gaze_uv, px_per_deg).flatten(1)  # (B, HW)
    inside = in_bands(eccentricity, bands_deg)  # (B, bands, HW)
    similarity = ssim_map(images, others).flatten(1)[:, None]
    return (similarity * inside).sum(-1) / inside.sum(-1)


def gaze_errors(
    images: Tensor,
    gaze_uv: Tensor,
    errors_deg: Sequence[float],
    bins: Sequence[tuple[int, int]],
    px_per_deg: float = PX_PER_DEG,
) -> Tensor:
    """(errors, bins, 3) mean SSIM in `BANDS_DEG` around the true gazes (B, 2) when the map was centred beside them.

    Errors in degrees to the right, to the left where that leaves the image. What an eye would see of a wrong gaze, as
    far as that can be said without people: just-noticeable differences need them.
    """
    width = images.shape[-1]
    rows = []
    for error in errors_deg:
        shift = error * px_per_deg / width
        x = torch.where(gaze_uv[:, 0] + shift < 1, gaze_uv[:, 0] + shift, gaze_uv[:, 0] - shift)
        aimed = torch.stack([x, gaze_uv[:, 1]], dim=-1)
        similarities = [
            ssim_by_band(images, foveated(images, aimed, each), gaze_uv, BANDS_DEG, px_per_deg) for each in bins
        ]
        rows.append(torch.stack([each.nanmean(0) for each in similarities]))
    return torch.stack(rows)
