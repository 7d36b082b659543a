"""Uniform grid against exact arithmetic, and evenness itself."""

import math
from fractions import Fraction as Q

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.samplers.uniform import Uniform
from tests.helpers import bare


def chosen(rows: int, cols: int, keep: int) -> list[int]:
    scene = bare(rows, cols)
    return Uniform()(scene, torch.zeros(1, rows * cols), torch.zeros(1, 2), keep)[0].index.tolist()


def by_definition(rows: int, cols: int, keep: int) -> list[int]:
    """The nearest token to the middle of each of `keep` cells, with whole numbers and loops."""
    lines = max(1, round(math.sqrt(keep * rows / cols)))
    lines = min(max(lines, math.ceil(keep / cols)), rows, keep)
    picked = []
    for line in range(lines):
        start, stop = (math.floor(Q(at * keep, lines) + Q(1, 2)) for at in (line, line + 1))
        for place in range(stop - start):
            best = None
            for row in range(rows):
                for col in range(cols):
                    x, y = Q(2 * col + 1, 2 * cols), Q(2 * row + 1, 2 * rows)
                    if math.floor(y * lines) != line or math.floor(x * (stop - start)) != place:
                        continue
                    dx = (x - (place + Q(1, 2)) / (stop - start)) * cols
                    dy = (y - (line + Q(1, 2)) / lines) * rows
                    aside = abs(x - Q(1, 2)) * cols + abs(y - Q(1, 2)) * rows
                    key = (dx * dx + dy * dy + aside / 10000, row * cols + col)
                    best = min(best, key) if best else key
            assert best is not None, "an empty cell on a full grid"
            picked.append(best[1])
    return sorted(picked)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_uniform_is_its_definition(rows, cols, data):
    keep = data.draw(st.integers(1, rows * cols))
    expected = by_definition(rows, cols, keep)
    assert len(set(expected)) == keep
    assert chosen(rows, cols, keep) == expected


@pytest.mark.parametrize(("rows", "cols", "keep", "expected"), [(4, 4, 4, [5, 6, 9, 10]), (1, 9, 3, [1, 4, 7])])
def test_uniform_by_hand(rows, cols, keep, expected):
    assert chosen(rows, cols, keep) == expected


@pytest.mark.parametrize("keep", [273, 819, 64, 100])
def test_tokens_are_even_on_a_page(keep):
    index = torch.tensor(chosen(64, 64, keep))
    shown = torch.zeros(64, 64)
    shown[index // 64, index % 64] = 1
    quarters = torch.nn.functional.avg_pool2d(shown[None], 32).flatten() * 1024
    assert quarters.max() - quarters.min() <= 0.06 * keep
    # No token is farther from a kept one than the diagonal of a cell and rounding to tokens explain.
    place = torch.stack([torch.arange(4096) // 64, torch.arange(4096) % 64], -1).float()
    gap = torch.cdist(place, place[index]).amin(-1).max()
    assert gap <= math.sqrt(4096 / keep) * 0.71 + 1.5


@pytest.mark.parametrize("keep", [1, 5, 20, 64, 90])
def test_uniform_is_its_own_mirror_image(keep):
    found = set(chosen(11, 13, keep))
    assert found == {index // 13 * 13 + 12 - index % 13 for index in found}


def test_a_second_look_falls_between_the_tokens_of_the_first():
    scene = bare(8, 8)
    first = Uniform()(scene, torch.zeros(1, 64), torch.zeros(1, 2), 16)[0].index
    shown = torch.zeros(1, 64, dtype=torch.bool)
    shown[0, first] = True
    second = Uniform()(scene.without(shown), torch.zeros(1, 64), torch.zeros(1, 2), 16)[0].index
    assert len(second) == 16 and not set(first.tolist()) & set(second.tolist())
    quarters = torch.bincount(second // 32 * 2 + second % 8 // 4, minlength=4)
    assert quarters.tolist() == [4, 4, 4, 4]
