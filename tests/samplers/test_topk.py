"""Top-K against sorting."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.samplers.topk import TopK
from tests.helpers import bare


@given(st.lists(st.integers(0, 5), min_size=12, max_size=12), st.integers(1, 12))
def test_topk_is_sorting_with_ties_in_raster_order(levels, keep):
    importance = torch.tensor([levels]) / 5
    found = TopK()(bare(3, 4), importance, torch.zeros(1, 2), keep)[0]
    assert found.index.tolist() == sorted(sorted(range(12), key=lambda i: (-levels[i], i))[:keep])


def test_gaze_does_not_matter():
    importance = torch.rand(1, 12)
    a, b = (TopK()(bare(3, 4), importance, torch.tensor([gaze]), 5)[0] for gaze in ((0.1, 0.1), (0.9, 0.9)))
    assert torch.equal(a.index, b.index)
