"""The log-polar map against OpenCV, against SciPy, and against what it is for."""

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from saccade.geometry import logpolar
from saccade.geometry.logpolar import inverse_log_polar, log_polar

H, W, R, T = 97, 131, 40, 72
GAZES = [(0.5, 0.5), (0.31, 0.72), (0.0, 1.0)]


def smooth(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((H, W)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def centre_and_reach(gaze: tuple[float, float]) -> tuple[float, float, float]:
    x, y = gaze[0] * W - 0.5, gaze[1] * H - 0.5
    return x, y, max(np.hypot(x - cx, y - cy) for cx in (0, W - 1) for cy in (0, H - 1))


def forward(image: np.ndarray, gaze: tuple[float, float], alpha_px: float = 1.0) -> np.ndarray:
    return log_polar(torch.from_numpy(image)[None, None], torch.tensor([gaze]), R, T, alpha_px)[0, 0].numpy()


@pytest.mark.parametrize("gaze", GAZES)
def test_forward_is_opencv(gaze):
    x, y, reach = centre_and_reach(gaze)
    largest = (1 + reach) ** (R / (R - 1))  # our last row lies at the farthest corner, OpenCV's one step before it
    image = smooth()
    flags = cv2.WARP_POLAR_LOG | cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
    theirs = cv2.warpPolar(image, (R, T), (x, y), largest, flags).T
    inside = cv2.warpPolar(np.ones_like(image), (R, T), (x, y), largest, flags).T > 0.999
    assert inside.mean() > 0.15  # a gaze in a corner sees a quarter
    # OpenCV's weights have 5 bits.
    assert np.abs(forward(image, gaze) - theirs)[inside].max() < 2e-3


@pytest.mark.parametrize("gaze", GAZES)
@pytest.mark.parametrize("alpha_px", [1.0, 7.5])
def test_forward_is_its_definition(gaze, alpha_px):
    x, y, reach = centre_and_reach(gaze)
    expected = np.empty((R, T))
    image = smooth()
    for k in range(R):
        r = alpha_px * (np.exp(k / (R - 1) * np.log(1 + reach / alpha_px)) - 1)
        for j in range(T):
            at = [[y + r * np.sin(2 * np.pi * j / T)], [x + r * np.cos(2 * np.pi * j / T)]]
            expected[k, j] = map_coordinates(image, at, order=1, mode="nearest")[0]
    assert np.abs(forward(image, gaze, alpha_px) - expected).max() < 1e-4


@pytest.mark.parametrize("gaze", GAZES)
def test_inverse_is_opencv_and_its_definition(gaze):
    x, y, reach = centre_and_reach(gaze)
    polar = cv2.GaussianBlur(np.random.default_rng(1).random((R, T)).astype(np.float32), (0, 0), 2)
    ours = inverse_log_polar(torch.from_numpy(polar)[None, None], torch.tensor([gaze]), H, W)[0, 0].numpy()

    dy, dx = np.mgrid[:H, :W] - np.array([y, x])[:, None, None]
    rho = np.log(np.hypot(dx, dy) + 1) / np.log(reach + 1) * (R - 1)
    theta = np.arctan2(dy, dx) % (2 * np.pi) / (2 * np.pi) * T
    wrapped = np.concatenate([polar, polar[:, :1]], axis=1)
    assert np.abs(ours - map_coordinates(wrapped, [rho, theta], order=1, mode="nearest")).max() < 1e-4

    flags = cv2.WARP_POLAR_LOG | cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS | cv2.WARP_INVERSE_MAP
    theirs = cv2.warpPolar(np.ascontiguousarray(polar.T), (W, H), (x, y), (1 + reach) ** (R / (R - 1)), flags)
    # OpenCV's arctangent is good to 0.3 degrees only; the farthest corner is the border of its map.
    inner = rho < R - 1.5
    assert np.abs(ours - theirs)[inner].max() < 5e-3


def test_the_way_back_keeps_the_fovea_and_blurs_the_rest():
    image = torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(0))
    gaze = torch.tensor([[0.4, 0.6]])
    back = inverse_log_polar(log_polar(image, gaze, 128, 256), gaze, H, W)
    error = (back - image).abs().mean(1)[0]
    x, y, _ = centre_and_reach((0.4, 0.6))
    dy, dx = np.mgrid[:H, :W] - np.array([y, x])[:, None, None]
    radius = torch.from_numpy(np.hypot(dx, dy))
    # Below one pixel a ring, interpolating twice is all that is lost; beyond, noise cannot survive.
    assert error[radius < 6].mean() < 0.5 * error[radius > 40].mean()
    flat = torch.full((1, 1, H, W), 0.3)
    assert torch.allclose(inverse_log_polar(log_polar(flat, gaze, 8, 9), gaze, H, W), flat)  # no seam, no dark rim


def test_turning_and_scaling_the_scene_shift_the_map():
    dy, dx = np.mgrid[:H, :H] - (H - 1) / 2
    reach = np.hypot(dx, dy).max()

    # A scene written in log-polar coordinates of alpha = 1: smooth in both, so that shifts can be checked exactly.
    def scene(turn: float, zoom: float) -> torch.Tensor:
        rho, theta = np.log1p(np.hypot(dx, dy)) + zoom, np.arctan2(dy, dx) + turn
        return torch.from_numpy(np.cos(2 * theta) * np.sin(rho)).float()[None, None]

    gaze = torch.tensor([[0.5, 0.5]])
    base = log_polar(scene(0, 0), gaze, R, T)
    turned = log_polar(scene(2 * np.pi * 5 / T, 0), gaze, R, T)
    zoomed = log_polar(scene(0, 3 * np.log1p(reach) / (R - 1)), gaze, R, T)
    ring = slice(20, 32)  # past the pixels next to the gaze, inside the picture
    assert (turned[0, 0, ring] - base.roll(-5, -1)[0, 0, ring]).abs().max() < 0.02
    assert (zoomed[0, 0, ring] - base.roll(-3, -2)[0, 0, ring]).abs().max() < 0.02


def test_a_batch_is_its_images_and_tables_are_kept():
    images = torch.rand(3, 2, H, W, generator=torch.Generator().manual_seed(0))
    gazes = torch.tensor(GAZES)
    together = log_polar(images, gazes, R, T)
    alone = [log_polar(images[i : i + 1], gazes[i : i + 1], R, T) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-6)
    back = inverse_log_polar(together, gazes, H, W)
    assert torch.allclose(back[1:2], inverse_log_polar(alone[1], gazes[1:2], H, W), atol=1e-6)
    before = logpolar._forward_table.cache_info().hits
    log_polar(images, gazes, R, T)
    assert logpolar._forward_table.cache_info().hits == before + 1


@pytest.mark.parametrize("gaze", GAZES)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_arrays_are_mapped_like_tensors(gaze, channels):
    rng = np.random.default_rng(3)
    image = cv2.GaussianBlur((255 * rng.random((H, W, *channels))).astype(np.uint8), (0, 0), 2)
    tensor = torch.from_numpy(image).float().reshape(H, W, -1).permute(2, 0, 1)[None]
    there = log_polar(image, gaze, R, T)
    expected = log_polar(tensor, torch.tensor([gaze]), R, T)
    assert there.shape == (R, T, *channels) and there.dtype == np.uint8
    as_tensor = torch.from_numpy(there).float().reshape(R, T, -1).permute(2, 0, 1)[None]
    step = np.abs(np.diff(image.astype(float), axis=1)).max()
    tolerance = 0.5 + 2 * step / 32  # rounding to a whole value, and places rounded to 1/32 px in x and y
    assert (as_tensor - expected).abs().max() <= tolerance
    back = inverse_log_polar(there, gaze, H, W)
    assert back.shape == image.shape
    back = torch.from_numpy(back).float().reshape(H, W, -1).permute(2, 0, 1)[None]
    steps = max(np.abs(np.diff(there.astype(float), axis=axis)).max() for axis in (0, 1))
    assert (back - inverse_log_polar(as_tensor, torch.tensor([gaze]), H, W)).abs().max() <= 0.5 + 2 * steps / 32


def test_acuity_spaces_the_rows():
    side, per_deg = 2401, 20.0  # 60 deg from the middle to the middle of an edge
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    radius = torch.hypot(x - 1200.0, y - 1200.0)[None, None]
    gaze = torch.tensor([[0.5, 0.5]])
    rows = log_polar(radius, gaze, 257, 8, spacing="acuity", px_per_deg=per_deg)[0, 0, :, 0] / per_deg  # degrees
    # Density of rows ~ acuity: the row number is ln(1 + 0.35 e), from 0 at the gaze to its value at the corner.
    far = 1200 * 2**0.5 / per_deg
    inside = rows < 59
    expected = torch.expm1(torch.linspace(0, 1, 257) * np.log1p(0.35 * far)) / 0.35
    assert (rows - expected)[inside].abs().max() < 0.05
    share = (rows < 5).sum().item() / (rows < 60).sum().item()
    assert share == pytest.approx(np.log1p(0.35 * 5) / np.log1p(0.35 * 60), abs=0.01) == pytest.approx(0.327, abs=0.01)
    # The seed integrates 1/acuity = (1 + 0.35 e)/60 instead: 1.4 % of its rows would lie within 5 deg.
    assert (5 + 0.175 * 25) / (60 + 0.175 * 3600) == pytest.approx(0.0136, abs=1e-4)


def test_acuity_is_the_log_map_of_its_alpha_and_takes_no_other():
    image, gaze = torch.from_numpy(smooth())[None, None], torch.tensor([[0.31, 0.72]])
    acuity = log_polar(image, gaze, R, T, spacing="acuity", px_per_deg=10)
    assert torch.equal(acuity, log_polar(image, gaze, R, T, alpha_px=10 / 0.35))
    back = inverse_log_polar(acuity, gaze, H, W, spacing="acuity", px_per_deg=10)
    assert torch.equal(back, inverse_log_polar(acuity, gaze, H, W, alpha_px=10 / 0.35))
    with pytest.raises(ValueError, match="alpha_px=2.0 with spacing='acuity', which sets it"):
        log_polar(image, gaze, R, T, alpha_px=2.0, spacing="acuity")
    with pytest.raises(ValueError, match="no spacing 'linear'. There are: log, acuity"):
        log_polar(image, gaze, R, T, spacing="linear")
