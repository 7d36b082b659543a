"""Cortical sampling: the probabilities of whole draws, and what they follow."""

from itertools import permutations

import pytest
import torch

from saccade.samplers.cortical import Cortical
from saccade.types import Scene
from tests.helpers import bare, item


def test_draws_are_plackett_luce_with_cortical_magnification():
    scene, gaze = bare(1, 4), torch.tensor([[0.125, 0.5]])  # tokens 0, 16, 32 and 48 px from the gaze
    weight = [1 / (i * 16 / 32 + 0.5) for i in range(4)]  # e0 = 0.5 degrees, 32 px a degree
    expected: dict[tuple[int, ...], float] = {}
    for first, second in permutations(range(4), 2):
        chance = weight[first] / sum(weight) * weight[second] / (sum(weight) - weight[first])
        pair = tuple(sorted((first, second)))
        expected[pair] = expected.get(pair, 0) + chance
    num, found = 3000, dict.fromkeys(expected, 0)
    for seed in range(num):
        sampler = Cortical(seed=seed, e0_deg=0.5, px_per_deg=32)
        found[tuple(sampler(scene, torch.zeros(1, 4), gaze, 2)[0].index.tolist())] += 1
    chi = sum((found[pair] - num * p) ** 2 / (num * p) for pair, p in expected.items())
    assert chi < 20.5  # chi-square, 5 degrees of freedom, p = 0.001


def test_tokens_are_dense_at_the_gaze():
    scene, gaze = bare(20, 20), torch.tensor([[0.25, 0.25]])
    shown = torch.zeros(400)
    for seed in range(30):
        shown[Cortical(seed=seed)(scene, torch.zeros(1, 400), gaze, 60)[0].index] += 1
    distance = (scene.centre_uv[0] - gaze).norm(dim=-1)
    near, far = shown[distance < 0.15].mean(), shown[distance > 0.5].mean()
    assert float(near / far) == pytest.approx(4, abs=1.2)  # M(2.3 deg) / M(6.5 deg) and what saturates near the gaze


def test_seed_picture_and_gaze_decide():
    def draw(seed: int = 0, x: float = 0.5, picture: int = 0) -> list[int]:
        scene = Scene.of([item(8, 8, seed=picture)])
        return Cortical(seed=seed)(scene, torch.zeros(1, 64), torch.tensor([[x, 0.5]]), 20)[0].index.tolist()

    assert draw() == draw()
    assert len({tuple(draw()), tuple(draw(seed=1)), tuple(draw(x=0.51)), tuple(draw(picture=1))}) == 4
