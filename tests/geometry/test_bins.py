"""Bins around a gaze: by definition, by hand, mirrored."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.geometry.bins import logpolar_bins
from tests.helpers import bin_of

YES = torch.ones(1, 5, dtype=torch.bool)


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0.01, 2), st.integers(0, 99))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_logpolar_bins_are_their_definition(num_rho, num_theta, alpha, seed):
    offset = torch.rand(1, 30, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.4
    offset[0, 0] = 0  # the gaze itself
    present = torch.ones(1, 30, dtype=torch.bool)
    farthest = float(offset[0].norm(dim=-1).max())
    found = logpolar_bins(offset, present, num_rho, num_theta, alpha)[0].tolist()
    assert found == [bin_of(x, y, farthest, num_rho, num_theta, alpha) for x, y in offset[0].tolist()]
    assert 0 <= min(found) and max(found) < num_rho * num_theta


def test_logpolar_bins_by_hand():
    # Straight below, right, above, left, and at the gaze; 4 sectors, 1 ring.
    offset = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 0.0]]])
    assert logpolar_bins(offset, YES, 1, 4, 0.1).tolist() == [[0, 1, 2, 3, 0]]
    # Two rings of alpha = 1 to r = 3: log 4 is halved at r = 1.
    line = torch.tensor([[[0.0, 0.0], [0.9, 0.0], [1.1, 0.0], [2.0, 0.0], [3.0, 0.0]]])
    assert logpolar_bins(line, YES, 2, 1, 1.0).tolist() == [[0, 0, 1, 1, 1]]


def test_logpolar_bins_are_mirrored_with_the_offsets():
    offset = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    present = torch.ones(1, 200, dtype=torch.bool)
    for num_theta in (4, 10, 17):
        here = logpolar_bins(offset, present, 3, num_theta, 0.1)
        there = logpolar_bins(offset * torch.tensor([-1.0, 1.0]), present, 3, num_theta, 0.1)
        assert torch.equal(here // num_theta, there // num_theta)
        assert torch.equal((-here % num_theta) % num_theta, there % num_theta)
