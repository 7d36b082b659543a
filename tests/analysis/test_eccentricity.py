"""Tokens by eccentricity against a loop over tokens, and bands that hold none."""

import math

import pytest
import torch

from saccade.analysis.eccentricity import BANDS_DEG, bands
from saccade.geometry.grid import plain_grid


def test_shares_equal_a_loop() -> None:
    grid, gaze = plain_grid(20, 30, 960, 640), (0.2, 0.7)
    kept = torch.rand(600, generator=torch.Generator().manual_seed(0)) < 0.3
    found = bands([(grid, gaze, kept)])
    e = [math.hypot((float(x) - 0.2) * 960, (float(y) - 0.7) * 640) / 33.3 for x, y in grid.centre_uv]
    acuity = [1 / (1 + 0.35 * each) for each in e]
    for low, high, one in zip(BANDS_DEG[:-1], BANDS_DEG[1:], found, strict=True):
        here = [i for i in range(600) if low <= e[i] < high]
        own = sum(bool(kept[i]) for i in here)
        assert one.page == pytest.approx(len(here) / 600)
        assert one.kept == pytest.approx(own / int(kept.sum()))
        assert one.density == pytest.approx(own / len(here))
        assert one.acuity == pytest.approx(sum(acuity[i] for i in here) / len(here), rel=1e-5)
        assert one.eye == pytest.approx(sum(acuity[i] ** 2 for i in here) / sum(a**2 for a in acuity), rel=1e-5)


def test_bands_without_tokens_have_no_density_and_means_leave_them_out() -> None:
    small, large = plain_grid(4, 4, 64, 64), plain_grid(60, 60, 960, 960)
    looks = [(grid, (0.5, 0.5), torch.ones(len(grid), dtype=torch.bool)) for grid in (small, large)]
    alone = bands(looks[:1])[-2]
    assert (alone.kept, alone.density, alone.acuity) == (0, None, None)
    both = bands(looks)[-2]  # only the large page reaches here
    assert both.density == 1 and both.acuity == pytest.approx(bands(looks[1:])[-2].acuity)
    assert bands([]) == []
