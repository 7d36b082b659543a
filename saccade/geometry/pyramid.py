"""Image pyramids of batches: Gaussian and Laplacian, what each band holds, selection level by level.

Burt & Adelson 1983, The Laplacian Pyramid as a Compact Image Code. Kernel and borders are those of `cv2.pyrDown` and
`cv2.pyrUp`, which take one picture at a time, know no gradients and no GPU; for one picture on the CPU call OpenCV.

Shapes: B images, C channels, H x W pixels; level 0 is the image, each next one half as wide and high, rounded up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from saccade.errors import ConfigError

KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def pyr_down(images: Tensor) -> Tensor:
    """(B, C, H, W) float -> (B, C, ceil(H/2), ceil(W/2)): blurred by 1 4 6 4 1, every second pixel; `cv2.pyrDown`."""
    for dim in (-2, -1):
        images = _halved(images, dim)
    return images


def _halved(images: Tensor, dim: int) -> Tensor:
    wide = images.index_select(dim, mirror(images.shape[dim], 2, images.device))
    count = (images.shape[dim] + 1) // 2
    taps = [wide.narrow(dim, k, 2 * count - 1) for k in range(5)]
    every_second = [tap[..., ::2] if dim == -1 else tap[..., ::2, :] for tap in taps]
    blurred = KERNEL[0] * every_second[0]
    for weight, tap in zip(KERNEL[1:], every_second[1:], strict=True):
        blurred.add_(tap, alpha=weight)
    return blurred


def mirror(size: int, margin: int, device: torch.device) -> Tensor:
    """(size + 2 margin,) int64 indices of pixels with more on both sides, mirrored about the outermost one's centre."""
    place = torch.arange(-margin, size + margin, device=device)
    period = max(1, 2 * (size - 1))
    place = place.remainder(period)
    return torch.minimum(place, period - place) if size > 1 else torch.zeros_like(place)


def pyr_up(images: Tensor, height: int, width: int) -> Tensor:
    """(B, C, ceil(height/2), ceil(width/2)) -> (B, C, height, width): doubled and blurred, as `cv2.pyrUp` does.

    Raises:
        ConfigError: a level of that size does not come from one of this.
    """
    if images.shape[-2:] != ((height + 1) // 2, (width + 1) // 2):
        raise ConfigError(f"a level of {height} x {width} px is not the double of one of {tuple(images.shape[-2:])}")
    return _doubled(_doubled(images, -2, height), -1, width)


def _doubled(images: Tensor, dim: int, size: int) -> Tensor:
    """Twice as long along one axis: pixel 2i is (s[i-1] + 6 s[i] + s[i+1]) / 8, pixel 2i + 1 is (s[i] + s[i+1]) / 2."""
    count, device = images.shape[dim], images.device
    here = torch.arange(count, device=device)
    before = images.index_select(dim, (here - 1).abs().clamp(max=count - 1))  # mirrored at the start ...
    after = images.index_select(dim, (here + 1).clamp(max=count - 1))  # ... and repeated at the end, as OpenCV does
    even, odd = (before + 6 * images + after) / 8, (images + after) / 2
    return torch.stack([even, odd], dim).flatten(dim - 1, dim).narrow(dim, 0, size)


def gaussian(images: Tensor, levels: int) -> list[Tensor]:
    """Gaussian pyramid: `levels` tensors, the image (B, C, H, W) first."""
    pyramid = [images]
    for _ in range(levels - 1):
        pyramid.append(pyr_down(pyramid[-1]))
    return pyramid


def laplacian(levels: Sequence[Tensor]) -> list[Tensor]:
    """Laplacian pyramid of a Gaussian one, L tensors (B, C, H_l, W_l): each level less the next one doubled.

    The last level stays as it is, so that the sum of all, each doubled to the size before it, is the image.
    """
    detail = [fine - pyr_up(coarse, *fine.shape[-2:]) for fine, coarse in zip(levels, levels[1:], strict=False)]
    return [*detail, levels[-1]]


class Bands(NamedTuple):
    """What the levels of a pyramid hold, per image and level."""

    energy: Tensor  # (B, L) variance, mean over channels
    peak_cycles_px: Tensor  # (B, L) strongest frequency, in cycles per pixel of the image


def bands(levels: Sequence[Tensor]) -> Bands:
    """Energy and strongest frequency of each of L levels (B, C, H_l, W_l), by Fourier transform, without its mean.

    The strongest frequency is the middle of the ring of frequencies, one cycle per side wide, that holds most energy; 0
    where there is none. A level of a Laplacian pyramid peaks about an octave below the level before it.
    """
    each = [_band(level, 2**number) for number, level in enumerate(levels)]
    return Bands(torch.stack([energy for energy, _ in each], -1), torch.stack([peak for _, peak in each], -1))


def _band(level: Tensor, step: int) -> tuple[Tensor, Tensor]:
    height, width = level.shape[-2:]
    spectrum = torch.fft.fft2(level - level.mean((-2, -1), keepdim=True)) / (height * width)
    power = spectrum.abs().square().mean(1).flatten(1)  # (B, H*W), sums to the variance
    radius = torch.hypot(
        torch.fft.fftfreq(height, device=level.device)[:, None], torch.fft.fftfreq(width, device=level.device)[None]
    )  # cycles per pixel of the level
    size = max(height, width)
    ring = (radius * size).round().long().flatten()
    rings = power.new_zeros(len(power), int(ring.max()) + 1).index_add_(1, ring, power)
    peak = rings.argmax(-1).to(power.dtype) / size / step
    energy = power.sum(-1)
    return energy, peak * (energy > 0)


@dataclass(frozen=True, slots=True)
class Picked:
    """Tokens selected from a pyramid, finest level first."""

    tokens: Tensor  # (B, K, D)
    level: Tensor  # (B, K) int64
    index: Tensor  # (B, K) int64, in its level


def progressive(
    images: Tensor,
    quota: Sequence[int],
    encode: Callable[[Tensor, int], Tensor],
    score: Callable[[Tensor], Tensor],
) -> Picked:
    """The best tokens of each level, with one level in memory at a time. Looks encode all levels: `saccade levels` says
    what that costs.

    Level l is blurred and halved from level l - 1, encoded, scored and reduced to its `quota[l]` best tokens (all,
    where it has fewer) before the next one is made; pixels and tokens of earlier levels are let go.
    `encode(images, level)` gives (B, N, D), `score(tokens)` (B, N). Quotas that fit: `geometry.levels.counts`.
    """
    tokens, levels, indices = [], [], []
    for level, keep in enumerate(quota):
        if level:
            images = pyr_down(images)
        if keep == 0:
            continue
        of_level = encode(images, level)  # (B, N, D)
        order = torch.argsort(score(of_level), dim=-1, descending=True, stable=True)
        index = order[:, :keep].sort(-1).values
        tokens.append(of_level.gather(1, index.unsqueeze(-1).expand(-1, -1, of_level.shape[-1])))
        levels.append(torch.full_like(index, level))
        indices.append(index)
        del of_level, order
    return Picked(torch.cat(tokens, 1), torch.cat(levels, 1), torch.cat(indices, 1))
