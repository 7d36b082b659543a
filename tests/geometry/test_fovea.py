"""Eccentricity by hand, and the magnification's values and integral."""

import pytest
import torch
from scipy.integrate import quad

from saccade.geometry.fovea import (
    E0_DEG,
    M0_MM,
    band_shares,
    eccentricity_deg,
    magnification_mm_per_deg,
    token_eccentricity_deg,
)
from saccade.geometry.grid import plain_grid


def test_eccentricity_is_zero_at_the_gazed_pixel_and_counts_degrees():
    gaze = torch.tensor([[0.5 / 6, 0.5 / 4], [1.0, 1.0]])  # the first pixel's centre, the corner
    found = eccentricity_deg(4, 6, gaze, px_per_deg=2.0)
    assert found.shape == (2, 4, 6)
    assert found[0, 0, 0] == pytest.approx(0, abs=1e-6)
    assert found[0, 3, 4] == pytest.approx((3**2 + 4**2) ** 0.5 / 2)
    assert found[1, 3, 5] == pytest.approx(0.5**0.5 / 2)  # half a pixel in x and in y


def test_token_eccentricity_is_that_of_the_pixel_map():
    grid = plain_grid(4, 6, 6, 4)  # one token a pixel
    gaze = torch.tensor([[0.3, 0.8]])
    pixels = eccentricity_deg(4, 6, gaze).flatten(1)
    assert torch.allclose(token_eccentricity_deg(grid.centre_uv.unsqueeze(0), gaze, [grid]), pixels, atol=1e-6)


def test_magnification_halves_at_e0_and_its_integral_is_logarithmic():
    at_gaze, at_e0, far = magnification_mm_per_deg(torch.tensor([0.0, E0_DEG, 9.25])).tolist()
    assert at_gaze == pytest.approx(23.067, abs=1e-3)
    assert at_e0 == pytest.approx(at_gaze / 2)
    assert far == pytest.approx(1.73)
    distance, _ = quad(lambda e: float(magnification_mm_per_deg(torch.tensor(e, dtype=torch.float64))), 0, 10)
    assert distance == pytest.approx(M0_MM * torch.log1p(torch.tensor(10 / E0_DEG)).item(), rel=1e-5)


def test_shares_by_band_are_counted():
    degrees = torch.tensor([[0.0, 4.9, 5.0, 12.0, 25.0], [1.0, 2.0, 3.0, 21.0, 7.0]])
    kept = torch.tensor([[1.0, 1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0, 0.0]])
    found = band_shares(degrees, kept, (0, 5, 20, float("inf")))
    assert found.tolist() == [[0.5, 0.25, 0.25], [0.5, 0.0, 0.5]]
