"""Scenes for the scorers' tests: several images of different sizes, with levels, and loops over their tokens."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from saccade.geometry.levels import stack
from saccade.types import Encoding, Scene
from tests.helpers import Item, item

Vector = list[float]


def levelled(rows: int, cols: int, seed: int = 0) -> Item:
    """An image of rows x cols tokens with a second level of half as many on a side."""
    picture, fine, query = item(rows, cols, seed=seed)
    _, coarse, _ = item(max(1, round(rows / 2)), max(1, round(cols / 2)), seed=seed + 100)
    return picture, stack([fine, coarse]), query


def several() -> Scene:
    """Three images, one of them with two levels: padding, borders, odd sides, a single row."""
    return Scene.of([item(4, 5), levelled(5, 7, seed=1), item(1, 6, seed=2)])


def filled(rows: int, cols: int, tokens: Tensor) -> Encoding:
    """Tokens and features that are these values (N, C)."""
    _, encoding, _ = item(rows, cols)
    return replace(encoding, tokens=tokens, features=tokens.unsqueeze(1))


def scene_of(rows: int, cols: int, tokens: Tensor, words: Tensor | None = None) -> Scene:
    """One image whose tokens and features are these values (N, C)."""
    picture, _, query = item(rows, cols, words=words)
    return Scene.of([(picture, filled(rows, cols, tokens), query)])


def of_image(scene: Scene, number: int, at: str) -> list[Vector]:
    """The vectors of the real tokens of one image."""
    values = scene.tokens if at == "after" else scene.features.flatten(2)
    return values[number][scene.present[number]].tolist()  # type: ignore[no-any-return]


def beside(scene: Scene, number: int) -> list[list[int]]:
    """Each token's neighbours, by the distance of their centres: at most one and a half steps on each axis."""
    grid = scene.grids[number]
    neighbours = []
    for i in range(len(grid)):
        step = grid.extent_uv[i] * 1.5
        near = ((grid.centre_uv - grid.centre_uv[i]).abs() < step).all(-1) & (grid.level == grid.level[i])
        neighbours.append([j for j in near.nonzero().flatten().tolist() if j != i])
    return neighbours


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return dot(a, b) / math.hypot(*a) / math.hypot(*b)


def check(raw: Tensor, scene: Scene, expected: Sequence[Sequence[float]], atol: float = 1e-5) -> None:
    """The raw scores of every image's real tokens are these."""
    for number, values in enumerate(expected):
        actual = raw[number][scene.present[number]]
        torch.testing.assert_close(actual, torch.tensor(values, dtype=torch.float32), rtol=1e-4, atol=atol)
