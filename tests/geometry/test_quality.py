"""SSIM against a direct transcription of Wang et al. (2004); what foveation keeps, and what a wrong gaze loses."""

import numpy as np
import pytest
import torch

from saccade.geometry.quality import (
    foveated,
    foveated_image,
    gaze_errors,
    pixels_of,
    ssim_by_band,
    ssim_map,
    uniform,
)
from saccade.picture import Picture

GENERATOR = torch.Generator().manual_seed(0)
IMAGE = torch.rand(1, 2, 24, 30, generator=GENERATOR)
OTHER = (IMAGE + 0.2 * torch.rand(1, 2, 24, 30, generator=GENERATOR)).clamp(max=1)


def page(side: int = 640) -> torch.Tensor:
    """Stripes and rings: detail of one size everywhere."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return (0.5 + 0.25 * torch.sin(x / 2.0) + 0.25 * torch.sin((x + 2 * y) / 5.0))[None, None].float()


def ssim_at(a: np.ndarray, b: np.ndarray, y: int, x: int) -> float:
    """One window, from the paper's equations 13 to 16."""
    offset = np.arange(11) - 5
    line = np.exp(-(offset**2) / (2 * 1.5**2))
    weight = np.outer(line, line) / line.sum() ** 2
    u, v = (image[y - 5 : y + 6, x - 5 : x + 6].astype(np.float64) for image in (a, b))
    mean_u, mean_v = (weight * u).sum(), (weight * v).sum()
    var_u, var_v = (weight * (u - mean_u) ** 2).sum(), (weight * (v - mean_v) ** 2).sum()
    both = (weight * (u - mean_u) * (v - mean_v)).sum()
    c1, c2 = 0.01**2, 0.03**2
    return (2 * mean_u * mean_v + c1) * (2 * both + c2) / ((mean_u**2 + mean_v**2 + c1) * (var_u + var_v + c2))


def test_ssim_is_the_papers():
    found = ssim_map(IMAGE, OTHER)
    for y, x in ((5, 5), (12, 17), (18, 24)):
        expected = np.mean([ssim_at(IMAGE[0, c].numpy(), OTHER[0, c].numpy(), y, x) for c in range(2)])
        assert found[0, y, x].item() == pytest.approx(expected, abs=1e-4)
    assert torch.allclose(ssim_map(IMAGE, IMAGE), torch.ones(1, 24, 30))
    assert found.mean() < 0.99


def test_bands_average_the_pixels_between_two_eccentricities():
    gaze = torch.tensor([[0.5, 0.5]])
    found = ssim_by_band(IMAGE, OTHER, gaze, (0, 2, 4, 100), px_per_deg=3.0)
    similarity = ssim_map(IMAGE, OTHER)[0].numpy()
    y, x = np.mgrid[:24, :30] + 0.5
    degrees = np.hypot(x - 15, y - 12) / 3
    for i, (low, high) in enumerate(((0, 2), (2, 4), (4, 100))):
        assert found[0, i].item() == pytest.approx(similarity[(degrees >= low) & (degrees < high)].mean(), abs=1e-5)
    assert ssim_by_band(IMAGE, OTHER, gaze, (0, 2, 50, 60), px_per_deg=3.0)[0, 2].isnan()


def test_foveation_keeps_the_fovea_and_more_bins_keep_more():
    image, gaze = page(), torch.tensor([[0.5, 0.5]])
    coarse, fine = (
        ssim_by_band(image, foveated(image, gaze, bins), gaze, px_per_deg=20.0)[0] for bins in ((64, 128), (256, 512))
    )
    assert fine[0] > fine[1] > fine[2]
    assert (fine > coarse).all()


def test_a_wrong_gaze_loses_the_fovea():
    image, gaze = page(), torch.tensor([[0.5, 0.5]])
    found = gaze_errors(image, gaze, (0.0, 1.5, 6.0), ((64, 128), (128, 256)), px_per_deg=20.0)
    assert found.shape == (3, 2, 3)
    assert (found[0, :, 0] > found[1, :, 0]).all() and (found[1, :, 0] > found[2, :, 0]).all()
    aimed = torch.tensor([[0.5 + 6.0 * 20 / 640, 0.5]])
    expected = ssim_by_band(image, foveated(image, aimed, (64, 128)), gaze, px_per_deg=20.0)[0]
    assert torch.allclose(found[2, 0], expected)
    beside = gaze_errors(image, torch.tensor([[0.95, 0.5]]), (6.0,), ((64, 128),), px_per_deg=20.0)  # to the left
    aimed = torch.tensor([[0.95 - 6.0 * 20 / 640, 0.5]])
    expected = ssim_by_band(image, foveated(image, aimed, (64, 128)), torch.tensor([[0.95, 0.5]]), px_per_deg=20.0)[0]
    assert torch.allclose(beside[0, 0], expected)


def test_a_foveated_image_is_a_picture_of_the_same_size():
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    made = foveated_image(Picture.open(pixels), (0.25, 0.5), (64, 128))
    assert (made.width_px, made.height_px) == (120, 90)
    expected = 255 * foveated(pixels_of(Picture.open(pixels)), torch.tensor([[0.25, 0.5]]), (64, 128))
    difference = np.abs(made.rgb.astype(float) - expected[0].permute(1, 2, 0).numpy())
    assert difference.mean() < 4  # places in 1/32 px on noise, where neighbours differ by 85 on average
    at_gaze = np.abs(made.rgb.astype(float) - pixels)[42:48, 27:33].mean()
    assert at_gaze < 0.5 * np.abs(made.rgb.astype(float) - pixels)[:, 90:].mean()


def test_uniform_has_the_samples_it_is_given():
    image = torch.rand(1, 1, 40, 80, generator=GENERATOR)
    assert torch.allclose(uniform(image, 40 * 80), image, atol=1e-6)
    assert torch.allclose(uniform(image, 1), image.mean().expand_as(image))
    eight = uniform(image, 8)  # 2 x 4 averages; the corner pixel is the corner's
    assert eight[0, 0, 0, 0].item() == pytest.approx(image[..., :20, :20].mean().item(), abs=1e-6)
    assert eight[0, 0, -1, -1].item() == pytest.approx(image[..., 20:, 60:].mean().item(), abs=1e-6)
