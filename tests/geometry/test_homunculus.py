"""The homunculus by hand, and against a direct loop over its definition."""

import numpy as np
import pytest
import torch

from saccade.geometry.homunculus import homunculus, homunculus_places

GENERATOR = torch.Generator().manual_seed(0)


def test_constant_density_changes_nothing():
    images = torch.rand(2, 3, 20, 30, generator=GENERATOR)
    for straight in (False, True):
        assert torch.allclose(homunculus(images, torch.full((2, 5, 7), 0.3), straight), images, atol=1e-5)


@pytest.mark.parametrize("straight", [False, True])
def test_a_region_fills_the_share_that_it_holds(straight):
    # The left half of the top half holds 6 of 12 parts, the other three quarters 2 each.
    density = torch.tensor([[[6.0, 2.0], [2.0, 2.0]]])
    labels = torch.zeros(1, 1, 240, 240)
    labels[..., :120, :120] = 1
    drawn = homunculus(labels, density, straight) > 0.5
    # Top row: 8/12 of the height. Its left cell: 6/8 of the width, or 8/12 when columns are straight.
    assert drawn.float().mean().item() == pytest.approx(8 / 12 * (8 / 12 if straight else 6 / 8), abs=0.01)
    assert drawn[0, 0, 80, 100] and not drawn[0, 0, 200, 100] and not drawn[0, 0, 80, 230]


def test_places_are_the_inverse_cumulative_density():
    h, w, height, width = 6, 9, 24, 33
    density = 0.05 + torch.rand(2, h, w, generator=GENERATOR)
    found = homunculus_places(density, height, width).double().numpy()
    for b in range(2):
        mass = density[b].double().numpy()
        rows = np.concatenate([[0], mass.sum(1).cumsum()]) / mass.sum()
        for i in range(height):
            y = np.interp((i + 0.5) / height, rows, np.arange(h + 1) / h)
            line = mass[min(int(y * h), h - 1)]
            columns = np.concatenate([[0], line.cumsum()]) / line.sum()
            for j in range(width):
                x = np.interp((j + 0.5) / width, columns, np.arange(w + 1) / w)
                assert found[b, i, j] == pytest.approx([2 * x - 1, 2 * y - 1], abs=1e-5)


def test_straight_columns_are_the_same_in_every_row():
    density = 0.05 + torch.rand(1, 6, 9, generator=GENERATOR)
    table = homunculus_places(density, 24, 33, straight=True)[0]
    assert (table[..., 0] == table[:1, :, 0]).all() and (table[..., 1] == table[:, :1, 1]).all()
    mass = density[0].double().numpy().sum(0)
    cumulative = np.concatenate([[0], mass.cumsum()]) / mass.sum()
    expected = np.interp((np.arange(33) + 0.5) / 33, cumulative, np.arange(10) / 9)
    assert table[0, :, 0].numpy() == pytest.approx(2 * expected - 1, abs=1e-5)


def test_places_without_density_vanish():
    density = torch.tensor([[[1.0, 0.0, 1.0]]])
    picture = torch.tensor([[[[0.0] * 10 + [1.0] * 10 + [0.0] * 10]]])
    assert (homunculus(picture, density) > 0.5).sum() <= 2  # the seam between the two
    rows = torch.tensor([[[1.0], [0.0], [0.0], [1.0]]])  # half of the mass lies exactly where the empty rows begin
    assert homunculus_places(rows, 5, 5).isfinite().all()
