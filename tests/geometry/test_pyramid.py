"""Pyramids against OpenCV and by hand."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from saccade.errors import ConfigError
from saccade.geometry.pyramid import bands, gaussian, laplacian, progressive, pyr_down, pyr_up

SIZES = [(64, 48), (63, 48), (64, 47), (33, 65), (5, 9), (3, 3), (2, 2), (4, 1), (1, 6), (1, 1)]


def collapse(pyramid: list[torch.Tensor]) -> torch.Tensor:
    """The image that a Laplacian pyramid is of: what makes it a code and not a sketch."""
    image = pyramid[-1]
    for band in reversed(pyramid[:-1]):
        image = band + pyr_up(image, *band.shape[-2:])
    return image


def images(height: int, width: int, batch: int = 2, channels: int = 3, seed: int = 0) -> Tensor:
    """Whole numbers 0 to 255, as pictures have."""
    make = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, channels, height, width), generator=make).double()


def through_opencv(image: Tensor, call: object) -> Tensor:
    """(C, H, W) through an OpenCV function of one picture."""
    return torch.stack([torch.from_numpy(call(np.ascontiguousarray(plane.numpy()))) for plane in image])  # type: ignore[operator]


@pytest.mark.parametrize("size", SIZES)
def test_down_and_up_are_opencvs(size: tuple[int, int]) -> None:
    batch = images(*size)
    small = pyr_down(batch)
    for image, found in zip(batch, small, strict=True):
        assert torch.allclose(found, through_opencv(image, cv2.pyrDown))
    large = pyr_up(small, *size)
    for image, found in zip(small, large, strict=True):
        expected = through_opencv(image, lambda plane: cv2.pyrUp(plane, dstsize=(size[1], size[0])))
        assert torch.allclose(found, expected), (found - expected).abs().max()


def test_one_level_by_hand() -> None:
    row = torch.tensor([[[[0.0, 16.0, 0.0, 0.0, 32.0]]]])
    # Mirrored: 0 16 | 0 16 0 0 32 | 0 0. At 0: (6*0 + 4*16*2 + 0)/16; at 2: (0 + 4*16 + 0 + 0 + 32)/16; at 4: 6*32/16.
    assert pyr_down(row).flatten().tolist() == [8.0, 6.0, 12.0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_bands_and_the_last_level_are_the_image_bit_for_bit(size: tuple[int, int], levels: int) -> None:
    """Weights are multiples of 1/256 and pixels whole numbers: float64 holds every sum exactly."""
    batch = images(*size)
    assert torch.equal(collapse(laplacian(gaussian(batch, levels))), batch)


def test_in_float32_to_rounding() -> None:
    batch = torch.rand(2, 3, 65, 40)
    assert torch.allclose(collapse(laplacian(gaussian(batch, 4))), batch, atol=1e-6)


def test_a_batch_is_each_image_alone() -> None:
    batch = images(21, 34, batch=3)
    together = gaussian(batch, 3)
    for b in range(3):
        assert all(
            torch.equal(one[0], all_[b]) for one, all_ in zip(gaussian(batch[b : b + 1], 3), together, strict=True)
        )


def test_sizes_that_do_not_follow_are_refused() -> None:
    with pytest.raises(ConfigError, match="not the double"):
        pyr_up(torch.zeros(1, 1, 4, 4), 9, 8)


def test_the_energy_is_the_variance() -> None:
    levels = laplacian(gaussian(images(48, 64), 3))
    found = bands(levels).energy
    for number, level in enumerate(levels):
        for b in range(2):
            expected = np.mean([np.var(plane.numpy()) for plane in level[b]])
            assert float(found[b, number]) == pytest.approx(expected)


@pytest.mark.parametrize(("cycles_px", "level"), [(48 / 128, 0), (13 / 128, 1), (7 / 128, 2), (3 / 128, 3)])
def test_a_wave_is_found_in_its_octave(cycles_px: float, level: int) -> None:
    """A grating: its frequency is the peak of every band that has any of it, and its octave's band has most of it."""
    x = torch.arange(128.0, dtype=torch.float64)
    wave = torch.sin(2 * torch.pi * cycles_px * x).expand(1, 1, 128, 128)
    found = bands(laplacian(gaussian(wave, 4)))
    assert int(found.energy[0].argmax()) == level
    assert float(found.peak_cycles_px[0, level]) == pytest.approx(cycles_px, abs=1 / 128)


def test_bands_of_noise_go_down_in_octaves() -> None:
    make = torch.Generator().manual_seed(0)
    found = bands(laplacian(gaussian(torch.randn(4, 1, 256, 256, generator=make), 4))).peak_cycles_px
    assert (found[:, 1:] < found[:, :-1]).all()
    assert (found[:, 0] > 0.25).all()
    assert (found[:, 1:3] / found[:, :2] < 0.75).all()


def test_a_blank_level_has_no_frequency() -> None:
    found = bands(gaussian(torch.full((1, 3, 32, 32), 0.5, dtype=torch.float64), 2))
    assert found.energy.tolist() == [[0, 0]]
    assert found.peak_cycles_px.tolist() == [[0, 0]]


def encode(pixels: Tensor, level: int) -> Tensor:
    """Patches of 8 x 8 px through a fixed projection: (B, N, 64)."""
    patches = torch.nn.functional.unfold(pixels, 8, stride=8).transpose(1, 2)
    weight = torch.randn(patches.shape[-1], 64, generator=torch.Generator().manual_seed(0), dtype=pixels.dtype)
    return patches @ weight


def score(tokens: Tensor) -> Tensor:
    return tokens.var(-1)


def at_once(pixels: Tensor, quota: list[int]) -> tuple[Tensor, list[list[tuple[int, int]]]]:
    """Everything in memory, then the best of each level: what level by level must equal."""
    every = [encode(level, number) for number, level in enumerate(gaussian(pixels, len(quota)))]
    scores = [score(tokens) for tokens in every]
    chosen = [
        [
            (level, int(i))
            for level, keep in enumerate(quota)
            for i in scores[level][b].argsort(descending=True, stable=True)[:keep].sort().values
        ]
        for b in range(len(pixels))
    ]
    return torch.stack([torch.stack([every[level][b, i] for level, i in row]) for b, row in enumerate(chosen)]), chosen


@pytest.mark.parametrize("quota", [[20, 10, 4], [0, 16, 0], [5, 5, 999]])
def test_level_by_level_is_all_at_once(quota: list[int]) -> None:
    pixels = images(64, 64) / 255
    expected, chosen = at_once(pixels, quota)
    found = progressive(pixels, quota, encode, score)
    assert torch.allclose(found.tokens, expected)
    assert [
        list(zip(*row, strict=True)) for row in zip(found.level.tolist(), found.index.tolist(), strict=True)
    ] == chosen
