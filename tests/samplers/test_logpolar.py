"""Log-polar sampling against a loop over bins."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.samplers.logpolar import LogPolar
from tests.helpers import bare, bin_of, importance_of


def by_definition(rows, cols, importance, gaze, keep, sampler):
    longer = max(rows, cols)
    offsets = [
        (((i % cols + 0.5) / cols - gaze[0]) * cols / longer, ((i // cols + 0.5) / rows - gaze[1]) * rows / longer)
        for i in range(rows * cols)
    ]
    radii = [(x * x + y * y) ** 0.5 for x, y in offsets]
    at_gaze = min(range(rows * cols), key=lambda i: radii[i])
    best = {}
    for i in sorted(range(rows * cols), key=lambda i: -importance[i]):
        found = bin_of(*offsets[i], max(radii), sampler.num_rho, sampler.num_theta, sampler.alpha_uv)
        best.setdefault("gaze" if i == at_gaze else found, i)
    bests = sorted(set(best.values()) - {at_gaze}, key=lambda i: -importance[i])
    kept = [at_gaze, *bests][:keep]
    rest = [i for i in sorted(range(rows * cols), key=lambda i: -importance[i]) if i not in kept]
    return sorted(kept + rest[: keep - len(kept)])


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 10**6), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_logpolar_is_its_definition(rows, cols, seed, data):
    keep = data.draw(st.integers(1, rows * cols))
    gaze = torch.rand(1, 2, generator=torch.Generator().manual_seed(seed))
    sampler = LogPolar(num_rho=data.draw(st.integers(1, 5)), num_theta=data.draw(st.integers(1, 8)))
    importance = importance_of(rows * cols, seed=seed)
    found = sampler(bare(rows, cols), importance, gaze, keep)[0].index.tolist()
    assert found == by_definition(rows, cols, importance[0].tolist(), gaze[0].tolist(), keep, sampler)


def test_273_tokens_of_a_page_look_everywhere_and_most_near_the_gaze():
    scene, importance, gaze = bare(64, 64), importance_of(4096), torch.tensor([[0.51, 0.49]])
    shown = LogPolar()(scene, importance, gaze, 273)[0].index
    distance = (scene.centre_uv[0, shown] - gaze).norm(dim=-1)
    assert (distance < 0.15).float().mean() > 0.35  # 7 % of the page
    assert len({(int(i) // 64 // 16, int(i) % 64 // 16) for i in shown}) == 16  # all sixteenths of the page
    assert distance.min() < 1 / 64  # the token at the gaze


def test_most_bins_hold_a_token():
    scene, importance, gaze = bare(64, 64), importance_of(4096), torch.tensor([[0.51, 0.49]])
    priority = LogPolar().priority(scene, importance, gaze, 273)
    assert 0.8 < float((priority > 0).float().sum()) / 273 < 0.9


def test_the_token_at_the_gaze_is_kept_even_if_worthless():
    importance = importance_of(25)
    importance[0, 12] = 0
    assert 12 in LogPolar()(bare(5, 5), importance, torch.tensor([[0.5, 0.5]]), 1)[0].index.tolist()
