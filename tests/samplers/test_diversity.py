"""Diversity against the plain greedy loops, and what it must and must not do."""

import math

import pytest
import torch

from saccade.samplers.diversity import LEAST_QUALITY, Diversity
from saccade.tokens.diversity import Determinant, MaxMin, greedy
from saccade.tokens.ranking import rank
from saccade.tokens.sketch import unit_sketch
from saccade.types import Scene
from tests.helpers import importance_of, item


def scene_of(tokens: torch.Tensor, rows: int) -> Scene:
    return Scene.of([item(rows, len(tokens) // rows, tokens=tokens)])


def farthest_points(tokens, importance, keep):
    """The definition, one token at a time."""
    unit = torch.nn.functional.normalize(tokens.double(), dim=-1)
    picked = [max(range(len(tokens)), key=lambda i: importance[i])]
    while len(picked) < keep:
        left = [i for i in range(len(tokens)) if i not in picked]
        gains = {i: min(1 - float(unit[i] @ unit[j]) for j in picked) for i in left}
        picked.append(max(left, key=lambda i: (gains[i], importance[i])))
    return picked


def determinants(tokens, importance, keep, width=0.2, ridge=0.01):
    """The definition: the token whose row and column make the largest determinant."""
    unit = torch.nn.functional.normalize(tokens.double(), dim=-1)
    quality = LEAST_QUALITY + (1 - LEAST_QUALITY) * importance.double()
    kernel = ((unit @ unit.T - 1) / width).exp() + ridge * torch.eye(len(tokens))
    kernel = quality[:, None] * kernel * quality
    picked: list[int] = []
    while len(picked) < keep:
        left = [i for i in range(len(tokens)) if i not in picked]
        gain = {i: float(torch.logdet(kernel[picked + [i]][:, picked + [i]])) for i in left}
        picked.append(max(left, key=gain.__getitem__))
    return picked


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["maxmin", "dpp"])
def test_picks_are_those_of_the_plain_loop(kind, seed):
    tokens = torch.randn(60, 6, generator=torch.Generator().manual_seed(seed))
    importance = importance_of(60, seed=seed)
    loop = farthest_points if kind == "maxmin" else determinants
    expected = loop(tokens, importance[0], 25)
    for keep in (1, 7, 25):
        found = Diversity(kind=kind)(scene_of(tokens, 6), importance, torch.zeros(1, 2), keep)[0].index.tolist()
        assert found == sorted(expected[:keep])


@pytest.mark.parametrize("pool", [1, 2, 5, 17, 400])
def test_the_pool_changes_nothing_and_images_of_a_batch_stay_apart(pool):
    make = torch.Generator().manual_seed(9)
    unit = torch.nn.functional.normalize(torch.randn(3, 90, 8, generator=make), dim=-1)
    valid = torch.rand(3, 90, generator=make) < torch.tensor([0.9, 0.5, 0.2]).unsqueeze(1)
    importance = torch.rand(3, 90, generator=make)
    ranks, quality = rank(importance, valid), 0.1 + 0.9 * importance
    keep = 30  # more than the third image has
    for worth, loop in (
        (lambda: MaxMin(unit, keep), farthest_points),
        (lambda: Determinant(unit, quality, 0.3, 0.02, keep), None),
    ):
        order = greedy(worth(), ranks, valid, keep, pool=pool)
        assert torch.equal(order, greedy(worth(), ranks, valid, keep, pool=90))
        assert (order[~valid] == 90).all()
        for b in range(3):
            picks = sorted(order[b][order[b] < 90].tolist())
            assert picks == list(range(min(keep, int(valid[b].sum()))))
        if loop:
            real = valid[1].nonzero().flatten()
            expected = real[loop(unit[1][real], importance[1][real], keep)]
            assert torch.equal(order[1].argsort()[:keep], expected)


@pytest.mark.parametrize("kind", ["maxmin", "dpp"])
def test_of_equal_tokens_one_is_kept_before_any_second(kind):
    make = torch.Generator().manual_seed(0)
    kinds = torch.randn(8, 6, generator=make)
    tokens = kinds[torch.randint(8, (100,), generator=make)]
    importance = torch.full((1, 100), 0.5)
    kept = Diversity(kind=kind)(scene_of(tokens, 10), importance, torch.zeros(1, 2), 8)[0].index
    assert len(tokens[kept].unique(dim=0)) == len(tokens.unique(dim=0)) == 8


def test_a_blank_page_goes_by_importance():
    importance = importance_of(100)
    for kind in ("maxmin", "dpp"):
        kept = Diversity(kind=kind)(scene_of(torch.ones(100, 6), 10), importance, torch.zeros(1, 2), 30)[0].index
        assert torch.equal(kept, importance[0].topk(30).indices.sort().values)


def test_the_conditioned_kernel_follows_importance_and_max_min_does_not():
    tokens = torch.randn(100, 6, generator=torch.Generator().manual_seed(1))
    importance = importance_of(100)
    means = {}
    for kind in ("maxmin", "dpp"):
        kept = Diversity(kind=kind)(scene_of(tokens, 10), importance, torch.zeros(1, 2), 20)[0].index
        means[kind] = float(importance[0, kept].mean())
    assert means["maxmin"] < 0.65 < 0.75 < means["dpp"]


def test_sketches_keep_cosines():
    make = torch.Generator().manual_seed(0)
    wide = torch.randn(200, 1000, generator=make)
    wide[100:] = wide[:100] + 0.5 * torch.randn(100, 1000, generator=make)  # cosine 0.89
    unit, short = torch.nn.functional.normalize(wide, dim=-1), unit_sketch(wide, 128)
    assert short.shape == (200, 128)
    exact, found = (1 - (v[:100] * v[100:]).sum(-1) for v in (unit, short))
    assert float((found / exact - 1).std()) < 1.5 * math.sqrt(2 / 128)
    assert float(found.mean()) == pytest.approx(float(exact.mean()), rel=0.05)
    assert torch.equal(unit_sketch(wide[:, :100], 128), torch.nn.functional.normalize(wide[:, :100], dim=-1))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["maxmin", "dpp"])
def test_without_quality_or_with_broken_features_it_ends_and_others_do_not_notice(kind):
    """A quality of 0 has no logarithm, and NaN is larger and smaller than nothing: neither may hang."""
    make = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize(torch.randn(4, 40, 8, generator=make), dim=-1)
    valid = torch.rand(4, 40, generator=make) < torch.rand(4, 1, generator=make)
    quality = torch.rand(4, 40, generator=make)
    quality[:, :6] = 0
    ranks = rank(quality, valid)

    def picks(features):
        worth = MaxMin(features, 30) if kind == "maxmin" else Determinant(features, quality, 0.2, 0.01, 30)
        return greedy(worth, ranks, valid, 30, pool=5)

    expected = picks(unit)
    assert (expected < 40).sum(-1).tolist() == valid.sum(-1).clamp(max=30).tolist()
    broken = unit.clone()
    broken[1, 7] = float("nan")
    found = picks(broken)
    assert torch.equal(found[[0, 2, 3]], expected[[0, 2, 3]])
    assert (found < 40).sum(-1).tolist() == valid.sum(-1).clamp(max=30).tolist()
