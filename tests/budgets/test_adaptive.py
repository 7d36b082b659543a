"""The adaptive budget: terms by hand, quantiles, thresholds, the cap, and that all four levels occur."""

from collections import Counter

import cv2
import numpy as np
import pytest

from saccade.budgets._quantiles import QUANTILES
from saccade.budgets.adaptive import LEVELS, Adaptive, complexity
from saccade.geometry.complexity import TERMS, quantile, terms
from saccade.picture import Picture
from saccade.training.quantiles import leaves, page, tables, written
from saccade.types import Scene
from tests.helpers import item

HELD_OUT = 10_000  # seeds that the tables have not seen


def test_terms_by_hand():
    assert terms(np.full((64, 64, 3), 200, np.uint8)).tolist() == [0, 0, 0]
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255
    edges, entropy, saliency = terms(halves)
    assert entropy == pytest.approx(1) and edges == pytest.approx(1 / 64) and saliency > 0
    noise = np.repeat(np.arange(256, dtype=np.uint8), 256).reshape(256, 256, 1).repeat(3, 2)
    assert terms(noise)[1] == pytest.approx(8)


def test_a_picture_and_its_enlargement_are_about_as_complex():
    picture = page(HELD_OUT + 1)  # 1024 px
    twice = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(terms(twice), terms(picture), rtol=0.15)


def test_quantiles_by_hand():
    table = np.array([1.0, 2.0, 2.0, 2.0, 6.0])
    given = [0.0, 1.0, 1.5, 2.0, 3.0, 6.0, 7.0]
    assert [quantile(value, table) for value in given] == [0, 0, 0.125, 0.5, 0.8125, 1, 1]


@pytest.mark.parametrize(
    "complex_, tokens",
    [(0.0, 180), (0.29, 180), (0.3, 273), (0.59, 273), (0.6, 365), (0.84, 365), (0.85, 456), (1.0, 456)],
)
def test_steps(complex_, tokens):
    assert Adaptive().level(complex_) == tokens
    assert Adaptive(most=300).level(complex_) == min(tokens, 300)


def test_the_weighted_sum():
    image = leaves(HELD_OUT)
    parts = [quantile(value, np.array(QUANTILES[name])) for name, value in zip(TERMS, terms(image), strict=True)]
    assert complexity(Picture.open(image)) == pytest.approx(0.4 * parts[0] + 0.4 * parts[1] + 0.2 * parts[2])


def test_all_four_levels_occur_and_none_is_rare_or_rules():
    images = [make(HELD_OUT + number) for number in range(40) for make in (page, leaves)]
    found = Counter(Adaptive().level(complexity(Picture.open(image))) for image in images)
    assert set(found) == set(LEVELS)
    assert all(count <= 0.6 * len(images) for count in found.values())
    # As in the seed, without quantiles: edges of 0.4 at most, entropy / 8, and no picture is very complex.
    raw = np.array([terms(image) for image in images])
    seed = 0.4 * raw[:, 0] + 0.4 * raw[:, 1] / 8 + 0.2 * raw[:, 2] / raw[:, 2].max()
    assert {Adaptive().level(value) for value in seed} != set(LEVELS)


def test_the_tables_are_derived_by_the_command():
    made = tables(12)
    assert set(made) == set(TERMS) and all(values == sorted(values) and len(values) == 21 for values in made.values())
    scope: dict[str, dict[str, list[float]]] = {}
    exec(written(made, 12), scope)
    assert scope["QUANTILES"]["entropy"] == pytest.approx(made["entropy"], rel=1e-5)
    for name in TERMS:  # the shipped ones are of such pictures
        assert QUANTILES[name][0] <= np.median(made[name]) <= QUANTILES[name][-1]


def test_a_batch_has_a_number_an_image():
    given = Adaptive()(Scene.of([item(4, 4), item(6, 6, seed=1)]))
    assert len(given) == 2 and set(given) <= set(LEVELS)
