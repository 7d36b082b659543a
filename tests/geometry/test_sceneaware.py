"""The scene-aware map against SciPy's integral along a ray, the plain map, and the seed's formula turned round."""

import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_trapezoid

from saccade.geometry.logpolar import inverse_log_polar, log_polar
from saccade.geometry.sceneaware import inverse_scene_log_polar, scene_log_polar, scene_places

H, W, R, T = 96, 128, 48, 64
GAZE = torch.tensor([[0.25, 0.5]])
Y, X = np.mgrid[:H, :W]


def disc(x: float, y: float, radius: float) -> torch.Tensor:
    return torch.from_numpy(((X - x) ** 2 + (Y - y) ** 2 < radius**2).astype(np.float32))[None]


def samples_px(saliency: torch.Tensor, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y, in pixels, of every sample of the map."""
    x, y = scene_places(saliency, GAZE, R, T, beta)[0].double().unbind(-1)
    return ((x + 1) * W / 2 - 0.5).numpy(), ((y + 1) * H / 2 - 0.5).numpy()


def inside(saliency: torch.Tensor, beta: float) -> int:
    x, y = samples_px(saliency, beta)
    return int(((x - 96) ** 2 + (y - 48) ** 2 < 14**2).sum())


def test_without_saliency_it_is_the_plain_map():
    image = torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(0))
    for saliency, beta in ((torch.zeros(1, H, W), 0.3), (disc(90, 40, 12), 0.0)):
        polar = scene_log_polar(image, saliency, GAZE, R, T, beta)
        assert torch.allclose(polar, log_polar(image, GAZE, R, T), atol=1e-4)
        back = inverse_scene_log_polar(polar, saliency, GAZE, beta)
        assert torch.allclose(back, inverse_log_polar(polar, GAZE, H, W), atol=1e-3)


def test_constant_saliency_is_the_effective_radius_in_the_plain_map():
    x, y = samples_px(torch.full((1, H, W), 0.8), beta=0.5)
    gaze = np.array([0.25 * W - 0.5, 0.5 * H - 0.5])
    far = np.hypot(W - 1 - gaze[0], gaze[1])
    found = np.hypot(x - gaze[0], y - gaze[1])
    k = np.arange(R) / (R - 1)
    expected = 1.4 * np.expm1(k * np.log1p(far / 1.4))  # log(1 + r_eff) in equal steps, r_eff = r/(1 + 0.5 * 0.8)
    assert np.abs(found - expected[:, None]).max() < 0.02 * far


def test_salient_regions_get_more_samples_and_the_seeds_formula_gives_them_fewer():
    salient = disc(96, 48, 14)  # 64 px from the gaze
    plain, ours = inside(salient, 0.0), inside(salient, 1.0)
    assert ours > 1.3 * plain
    # The seed multiplies the radius where it should divide: its samples are those of a negative exponent.
    seed_like = inside(salient, -0.5)  # 1/(1 - 0.5) = 2: twice the radius, as r * (1 + 1.0 * s)
    assert seed_like < plain
    assert inside(salient, 0.3) > plain


def test_the_rows_of_a_ray_are_the_integral():
    saliency = torch.from_numpy(np.where((X > 60) & (X < 90), 0.9, 0.1).astype(np.float32))[None]
    x, _ = samples_px(saliency, beta=2.0)
    gaze_x = 0.25 * W - 0.5
    far = np.hypot(W - 1 - gaze_x, 0.5 * H - 0.5)
    r = np.linspace(0, far, 200_001)
    s = np.interp(gaze_x + r, np.arange(W), saliency[0, H // 2].numpy())
    rho = cumulative_trapezoid(1 / (1 + r / (1 + 2.0 * s)), r, initial=0)
    expected = np.interp(np.arange(R) / (R - 1), rho / rho[-1], r)
    assert np.abs(x[:, 0] - gaze_x - expected).max() < 0.5  # the integral is taken in steps of a quarter row


@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_there_and_back(beta):
    image = torch.from_numpy(np.sin(X / 9.0) * np.cos(Y / 7.0)).float()[None, None]
    salient = disc(96, 48, 14)
    polar = scene_log_polar(image, salient, GAZE, 128, 256, beta)
    back = inverse_scene_log_polar(polar, salient, GAZE, beta)
    assert (back - image).abs().mean() < 0.01


def test_a_batch_is_its_images():
    generator = torch.Generator().manual_seed(1)
    images, saliency = torch.rand(3, 2, H, W, generator=generator), torch.rand(3, H, W, generator=generator)
    gazes = torch.tensor([[0.25, 0.5], [0.9, 0.1], [0.5, 0.5]])
    together = scene_log_polar(images, saliency, gazes, R, T)
    back = inverse_scene_log_polar(together, saliency, gazes)
    for i in range(3):
        one = slice(i, i + 1)
        assert torch.allclose(together[one], scene_log_polar(images[one], saliency[one], gazes[one], R, T), atol=1e-5)
        assert torch.allclose(back[one], inverse_scene_log_polar(together[one], saliency[one], gazes[one]), atol=1e-4)
