"""Content-adaptive level weights: the measures by hand, and fine levels for crowded pictures."""

import numpy as np
import pytest
import torch

from saccade.budgets.content import Content, measures
from saccade.datasets import Dataset
from saccade.geometry.grid import plain_grid
from saccade.picture import Picture
from saccade.registry import load
from saccade.types import Scene
from tests.levels import pyramid_item


def scene_of(pixels: np.ndarray, levels: int = 4) -> Scene:
    _, encoding, query = pyramid_item(8, 8, levels=levels)
    return Scene.of([(Picture.open(pixels), encoding, query)])


BLANK = np.full((128, 128, 3), 250, np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)


def test_the_measures_by_hand() -> None:
    """A page whose left half is black and right half white, 128 x 128 px."""
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[:, 64:] = 255
    edges, colour, texture = measures(Picture.open(pixels), plain_grid(8, 8, 128, 128)).tolist()
    assert edges == pytest.approx(2 * 4 / 128)  # two columns see a step of 1 through weights 1 + 2 + 1
    assert colour == pytest.approx(0.25)
    assert texture == pytest.approx(0, abs=1e-6)  # every block of 16 px is of one colour
    shifted = np.roll(pixels, 8, 1)  # now 2 of 8 columns of blocks are half black, half white: variance 1/4
    assert measures(Picture.open(shifted), plain_grid(8, 8, 128, 128))[2] == pytest.approx(2 / 8 * 0.25, abs=1e-6)


def test_complexity_by_hand() -> None:
    budget, scene = Content(), scene_of(NOISE)
    values = measures(scene.pictures[0], scene.grids[0])
    typical = torch.tensor([budget.typical_edges, budget.typical_colour, budget.typical_texture])
    assert float(budget.complexity(scene)[0]) == pytest.approx(float((values / (values + typical)).mean()))
    assert float(budget.complexity(scene_of(BLANK))[0]) < 1e-6


def test_plain_medium_and_crowded_pictures_occur() -> None:
    """The seed puts a mean that cannot be negative through a sigmoid: 0.5 at least, so it calls no picture simple."""
    dataset, budget = load("datasets", {"name": "synthdoc", "page_px": 512}, Dataset), Content()
    pages = [dataset.sample(row).picture.rgb for _, row in zip(range(6), dataset.rows(), strict=False)]
    complexity = [float(budget.complexity(scene_of(pixels))[0]) for pixels in [BLANK, NOISE, *pages]]
    assert complexity[0] < budget.plain_below
    assert complexity[1] > budget.crowded_above
    assert any(budget.plain_below <= value <= budget.crowded_above for value in complexity[2:])
    scene = scene_of(BLANK)
    seeds = torch.sigmoid(measures(scene.pictures[0], scene.grids[0]).mean())
    assert seeds >= 0.5 > 0.3


def test_a_crowded_picture_gives_more_to_full_resolution() -> None:
    """The seed's lists run from coarse to fine, its pyramid from fine to coarse: it does the opposite of its text."""
    budget = Content()
    plain, crowded = (budget.shares(scene_of(pixels))[0] for pixels in (BLANK, NOISE))
    assert plain.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert crowded.tolist() == pytest.approx([2 / 5.7, 1.5 / 5.7, 1.2 / 5.7, 1 / 5.7])
    fine = [plain[0], budget.shares(scene_of(BLANK))[0][0], crowded[0]]
    assert fine == sorted(fine)
    assert plain[0] < torch.tensor(budget.medium[0]) / sum(budget.medium) < crowded[0]
    assert plain[-1] > torch.tensor(budget.medium[-1]) / sum(budget.medium) > crowded[-1]


def test_a_batch_of_pictures() -> None:
    items = []
    for pixels in (BLANK, NOISE):
        _, encoding, query = pyramid_item(8, 8, levels=2)
        items.append((Picture.open(pixels), encoding, query))
    shares = Content().shares(Scene.of(items))
    assert shares[:, 0].tolist() == pytest.approx([1 / 3, 2 / 3.5])
