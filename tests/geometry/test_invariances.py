"""What the log-polar map makes of a scene that turns or grows, for any scene, angle and zoom."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.geometry.logpolar import cell_px, inverse_table, log_polar

SIDE, R, T = 193, 64, 96
MIDDLE = (SIDE - 1) / 2
STEP = np.log1p(MIDDLE * 2**0.5) / (R - 1)  # of rho, from row to row
GAZE = torch.tensor([[0.5, 0.5]])
RING = slice(int(np.log(25) / STEP), int(np.log(60) / STEP))  # 24 to 59 px from the gaze

waves = st.lists(st.tuples(st.floats(-0.12, 0.12), st.floats(-0.12, 0.12), st.floats(0, 6.28)), min_size=1, max_size=4)


def seen(scene: list[tuple[float, float, float]], turn: float = 0.0, zoom: float = 1.0) -> torch.Tensor:
    """The map of a sum of waves that was turned (clockwise on the page) and enlarged around the gaze."""
    y, x = (np.mgrid[:SIDE, :SIDE] - MIDDLE) / zoom
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    image = sum(np.cos(fx * x + fy * y + phase) for fx, fy, phase in scene) / len(scene)
    return log_polar(torch.from_numpy(image).float()[None, None], GAZE, R, T)[0, 0]


@settings(max_examples=25, deadline=None)
@given(scene=waves, columns=st.integers(-T, T))
def test_a_turn_moves_the_map_along_theta(scene, columns):
    turned = seen(scene, turn=2 * np.pi * columns / T)
    assert (turned - seen(scene).roll(columns, 1))[: RING.stop].abs().max() < 0.02  # two interpolations


@settings(max_examples=25, deadline=None)
@given(scene=waves, rows=st.integers(-8, 8))
def test_a_zoom_moves_the_map_along_rho(scene, rows):
    zoomed = seen(scene, zoom=float(np.exp(rows * STEP)))
    # log(1 + z r) is log z + log(1 + r) up to (1/z - 1)/r: less than a pixel here, on waves of 37 px and more.
    assert (zoomed - seen(scene).roll(rows, 0))[RING].abs().max() < 0.25


def test_a_zoom_is_no_turn():
    scene = [(0.1, 0.05, 0.3)]
    assert (seen(scene, zoom=1.5) - seen(scene))[RING].abs().max() > 0.5
    assert (seen(scene, turn=1.0) - seen(scene))[RING].abs().max() > 0.5


@pytest.mark.parametrize("alpha_px", [1.0, 10.0])
def test_compression_grows_with_eccentricity(alpha_px):
    side, rows, columns = 801, 40, 60
    far = 400 * 2**0.5
    place = inverse_table(side, side, rows, columns, ((0.5, 0.5),), alpha_px)[0, ..., 1].double()
    row = ((place + 1) / 2 * (rows - 1)).round().long().flatten()
    counted = torch.bincount(row, minlength=rows)
    radius = alpha_px * np.expm1(np.arange(rows) / (rows - 1) * np.log1p(far / alpha_px))
    radial, tangential = cell_px(torch.from_numpy(radius), far, rows, columns, alpha_px)
    whole = (radius > 30) & (radius < 340)  # rings that lie inside the picture, of more than a pixel
    cells = (radial * tangential * columns).numpy()[whole]
    assert counted.numpy()[whole] == pytest.approx(cells, rel=0.05)
    assert np.diff(radius)[whole[:-1]] == pytest.approx(radial.numpy()[:-1][whole[:-1]], rel=0.15)
    near, distant = (cell_px(torch.tensor(r), far, rows, columns, alpha_px) for r in (100.0, 200.0))
    assert distant[1] == pytest.approx(2 * near[1])
    assert distant[0] / near[0] == pytest.approx((200 + alpha_px) / (100 + alpha_px))
