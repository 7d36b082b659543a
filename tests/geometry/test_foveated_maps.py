"""A page through acuity-spaced and scene-aware maps and back, against SciPy at places that are worked out here."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.ndimage import map_coordinates

from saccade.geometry.quality import foveated_image, pixels_of, saliency_of, scene_image
from saccade.picture import Picture

H, W, R, T, GAZE_UV = 160, 200, 96, 192, (0.4, 0.6)
X0, Y0 = GAZE_UV[0] * W - 0.5, GAZE_UV[1] * H - 0.5
FAR = max(np.hypot(x - X0, y - Y0) for x in (0, W - 1) for y in (0, H - 1))
ANGLES = 2 * np.pi * np.arange(T) / T
FINE = np.concatenate([[0], np.geomspace(1e-3, FAR, 6000)])  # radii of the integrals
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def page() -> Picture:
    y, x = np.mgrid[:H, :W]
    grey = 190 + 30 * np.sin(x / 9) * np.cos(y / 7)
    grey[20:60, 120:180] -= 120 * ((x[20:60, 120:180] // 3) % 2)  # print, 60 px and more from the gaze
    return Picture.open(np.repeat(grey[..., None], 3, -1).clip(0, 255).astype(np.uint8))


def there_and_back(image: Floats, rho: Floats) -> Floats:
    """(H, W) through R rows at equal steps of rho (T, len(FINE)), which rises from 0 to 1 along each ray."""
    radii = np.stack([np.interp(np.arange(R) / (R - 1), ray, FINE) for ray in rho], 1)  # (R, T)
    places = np.stack([Y0 + radii * np.sin(ANGLES), X0 + radii * np.cos(ANGLES)])
    polar = map_coordinates(image, places, order=1, mode="nearest")
    y, x = np.mgrid[:H, :W]
    radius, turn = np.hypot(x - X0, y - Y0), np.arctan2(y - Y0, x - X0) % (2 * np.pi) * T / (2 * np.pi)
    left = turn.astype(int) % T
    here, after = (
        np.array([np.interp(r, FINE, rho[ray]) for r, ray in zip(radius.ravel(), rays.ravel(), strict=True)])
        for rays in (left, (left + 1) % T)
    )
    part = (turn - turn.astype(int)).ravel()
    row = (R - 1) * ((1 - part) * here + part * after).reshape(H, W)
    return map_coordinates(np.concatenate([polar, polar[:, :1]], 1), np.stack([row, turn]), order=1, mode="nearest")


def test_rows_by_acuity(page: Picture) -> None:
    rho = np.log(1 + 0.35 * FINE / 33.3) / 0.35
    expected = there_and_back(page.rgb[..., 0].astype(float), np.tile(rho / rho[-1], (T, 1)))
    found = foveated_image(page, GAZE_UV, (R, T), "acuity").rgb[..., 0]
    error = np.abs(found - expected)
    assert error.mean() < 0.5 and np.quantile(error, 0.99) < 4  # OpenCV's places are whole 32nds of a pixel
    assert np.abs(foveated_image(page, GAZE_UV, (R, T)).rgb[..., 0] - expected).mean() > 2 * error.mean()


def test_rows_by_the_scene(page: Picture) -> None:
    saliency = saliency_of(pixels_of(page))[0].double().numpy()
    places = np.stack([Y0 + FINE * np.sin(ANGLES)[:, None], X0 + FINE * np.cos(ANGLES)[:, None]])
    seen = map_coordinates(saliency, places, order=1, mode="nearest")  # (T, len(FINE))
    rho = cumulative_trapezoid(1 / (1 + FINE / (1 + 0.3 * seen)), FINE, initial=0, axis=1)
    expected = there_and_back(page.rgb[..., 0].astype(float), rho / rho[:, -1:])
    error = np.abs(scene_image(page, GAZE_UV, (R, T)).rgb[..., 0] - expected)
    assert error.mean() < 0.5 and np.quantile(error, 0.99) < 4  # its integral is taken in steps of a quarter row


def test_print_far_from_the_gaze_keeps_more_by_the_scene(page: Picture) -> None:
    lost = {
        way: np.abs(image.rgb.astype(int) - page.rgb)[20:60, 120:180].mean()
        for way, image in (
            ("plain", foveated_image(page, GAZE_UV, (R, T))),
            ("scene", scene_image(page, GAZE_UV, (R, T))),
        )
    }
    assert lost["scene"] < lost["plain"]


def test_saliency_is_where_edges_are(page: Picture) -> None:
    saliency = saliency_of(pixels_of(page))[0]
    assert saliency.shape == (H, W) and 0 <= float(saliency.min()) and 0.9 < float(saliency.max()) <= 1
    assert float(saliency[32:48, 136:168].mean()) > 5 * float(saliency[80:].mean())
    assert torch.equal(saliency_of(torch.ones(1, 3, 20, 30)), torch.zeros(1, 20, 30)), "blank paper has none"
