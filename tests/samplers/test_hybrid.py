"""Hybrid sampling against a loop over bins."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.samplers.hybrid import Hybrid
from saccade.samplers.topk import TopK
from tests.helpers import bare, bin_of, importance_of


def by_definition(rows, cols, importance, gaze, keep, sampler):
    longer = max(rows, cols)
    offsets = [
        (((i % cols + 0.5) / cols - gaze[0]) * cols / longer, ((i // cols + 0.5) / rows - gaze[1]) * rows / longer)
        for i in range(rows * cols)
    ]
    farthest = max((x * x + y * y) ** 0.5 for x, y in offsets)
    bins = [bin_of(x, y, farthest, sampler.num_rho, sampler.num_theta, sampler.alpha_uv) for x, y in offsets]
    order = sorted(range(rows * cols), key=lambda i: -importance[i])
    kept = order[: round(sampler.ratio * keep)]
    covered = {bins[i] for i in kept}
    for i in order:
        if len(kept) < keep and bins[i] not in covered:
            covered.add(bins[i])
            kept.append(i)
    kept += [i for i in order if i not in kept][: keep - len(kept)]
    return sorted(kept)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 10**6), st.sampled_from([0.0, 0.6, 0.7, 1.0]), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_hybrid_is_its_definition(rows, cols, seed, ratio, data):
    keep = data.draw(st.integers(1, rows * cols))
    gaze = torch.rand(1, 2, generator=torch.Generator().manual_seed(seed))
    sampler = Hybrid(ratio=ratio, num_rho=data.draw(st.integers(1, 5)), num_theta=data.draw(st.integers(1, 8)))
    importance = importance_of(rows * cols, seed=seed)
    found = sampler(bare(rows, cols), importance, gaze, keep)[0].index.tolist()
    assert found == by_definition(rows, cols, importance[0].tolist(), gaze[0].tolist(), keep, sampler)


def test_ratio_one_is_topk():
    scene, importance, gaze = bare(8, 8), importance_of(64), torch.tensor([[0.3, 0.4]])
    hybrid, topk = (sampler(scene, importance, gaze, 20)[0] for sampler in (Hybrid(ratio=1), TopK()))
    assert torch.equal(hybrid.index, topk.index)


@pytest.mark.parametrize("ratio", [0.6, 0.7, 0.8])
def test_a_cluster_leaves_the_rest_of_the_page_covered(ratio):
    scene, gaze = bare(32, 32), torch.tensor([[0.1, 0.1]])
    importance = 1 - (scene.centre_uv - gaze[:, None]).norm(dim=-1) / 2  # everything important is in one corner
    shown = Hybrid(ratio=ratio)(scene, importance, gaze, 273)[0].index
    corner = TopK()(scene, importance, gaze, 273)[0].index
    assert scene.centre_uv[0, corner].max() < 0.7 < scene.centre_uv[0, shown].max()
    assert len(set(shown.tolist()) & set(corner.tolist())) >= ratio * 273 - 1
