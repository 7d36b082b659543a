"""Random tokens: fair, seeded, nested, another draw for another picture."""

import torch

from saccade.samplers.random import Random
from saccade.types import Scene
from tests.helpers import bare, item

NOWHERE = torch.zeros(1, 2)


def draw(seed: int, keep: int, scene: Scene | None = None) -> list[int]:
    scene = scene or bare(4, 5)
    return Random(seed=seed)(scene, torch.zeros(scene.valid.shape), NOWHERE, keep)[0].index.tolist()


def test_every_token_and_every_pair_is_equally_likely():
    scene = bare(2, 3)
    draws = [tuple(draw(seed, 2, scene)) for seed in range(1500)]
    counts = [draws.count((i, j)) for i in range(6) for j in range(i + 1, 6)]
    assert sum(counts) == 1500
    assert sum((count - 100) ** 2 / 100 for count in counts) < 36.1  # chi-square, 14 degrees of freedom, p = 0.001


def test_seed_and_picture_decide():
    assert draw(1, 8) == draw(1, 8) != draw(2, 8)
    assert draw(1, 8, Scene.of([item(4, 5, seed=7)])) != draw(1, 8)
    assert set(draw(1, 8)) < set(draw(1, 9))
