"""PTP against a transcription of its definition, token by token."""

import math

import numpy as np
import pytest
import torch

from saccade.samplers.ptp import PTP, region_variance
from saccade.types import Scene
from tests.helpers import importance_of, item
from tests.levels import pyramid_item

GAZE = torch.tensor([[0.5, 0.5]])


def scaled(values: list[float]) -> np.ndarray:
    found = np.array(values)
    return (found - found.min()) / (found.max() - found.min())


def by_hand(scene: Scene, weights: tuple[float, float, float], regions: int) -> np.ndarray:
    """(N,) of one image: the seed's formulas, with each region's values gathered one by one."""
    tokens, words = scene.tokens[0].double().numpy(), scene.query_tokens[0].double().numpy()
    place = [
        (int(level), int(y * regions), int(x * regions))
        for level, (x, y) in zip(scene.level[0].tolist(), scene.centre_uv[0].tolist(), strict=True)
    ]
    region = [np.var([v for k, p in enumerate(place) if p == here for v in tokens[k]]) for here in place]
    token = [np.var(values) for values in tokens]
    instruction = [max(float(values @ word) for word in words) / math.sqrt(len(values)) for values in tokens]
    terms = [scaled(part) for part in (region, token, instruction)]  # type: ignore[arg-type]
    return sum(weight * term for weight, term in zip(weights, terms, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("weights", [(0.3, 0.4, 0.3), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("regions", [1, 4])
def test_it_is_the_sum_of_its_three_terms(weights: tuple[float, float, float], regions: int) -> None:
    if regions == 1 and weights[0] == 1:
        weights = (1.0, 0.1, 0.0)  # one region of two levels decides nothing alone
    scene = Scene.of([pyramid_item(6, 8, levels=2, seed=4)])
    sampler = PTP(region=weights[0], token=weights[1], guidance=weights[2], regions=regions)
    expected = by_hand(scene, weights, regions)
    found = sampler.priority(scene, torch.zeros(1, 60), GAZE, 10)[0]
    assert found.numpy() == pytest.approx(expected, abs=1e-5)
    kept = sampler(scene, torch.zeros(1, 60), GAZE, 10)[0].index.tolist()
    assert kept == sorted(np.argsort(-expected.round(5), kind="stable")[:10].tolist())


def test_tokens_come_from_all_levels_together() -> None:
    """No level has a quota: here every coarse token is livelier than every fine one."""
    picture, encoding, query = pyramid_item(8, 8, levels=2)
    encoding.tokens[:64] *= 0.01
    scene = Scene.of([(picture, encoding, query)])
    assert PTP()(scene, torch.zeros(1, 80), GAZE, 16)[0].index.tolist() == list(range(64, 80))


def test_the_importance_of_the_look_can_be_the_instruction() -> None:
    scene, importance = Scene.of([item(6, 6)]), importance_of(36)
    sampler = PTP(region=0, token=0, guidance=1, instruction="importance")
    assert sampler(scene, importance, GAZE, 9)[0].index.tolist() == sorted(importance[0].argsort()[-9:].tolist())


def test_a_word_that_was_found_guides_no_more() -> None:
    """Weight 0 takes a word out: the tokens it liked lose to those of the other word."""
    words = torch.eye(6)[:2]
    tokens = torch.zeros(16, 6)
    tokens[:4, 0], tokens[4:8, 1] = 2.0, 1.0
    scene = Scene.of([item(4, 4, tokens=tokens, words=words)])
    sampler = PTP(region=0, token=0, guidance=1)
    assert sampler(scene, torch.zeros(1, 16), GAZE, 4)[0].index.tolist() == [0, 1, 2, 3]
    scene = scene.weighted(torch.tensor([[0.0, 1.0]]))
    assert sampler(scene, torch.zeros(1, 16), GAZE, 4)[0].index.tolist() == [4, 5, 6, 7]


def test_region_variance_is_that_of_all_its_values() -> None:
    values = torch.tensor([[[1.0, 3.0], [5.0, 5.0], [0.0, 8.0]]], dtype=torch.float64)  # the third is another region
    found = region_variance(
        values.var(-1, correction=0), values.mean(-1), torch.tensor([[0, 0, 1]]), torch.ones(1, 3, dtype=torch.bool)
    )
    assert found[0].tolist() == pytest.approx([np.var([1, 3, 5, 5]), np.var([1, 3, 5, 5]), 16.0])
