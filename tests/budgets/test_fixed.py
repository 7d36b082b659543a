"""B1."""

import pytest

from saccade.budgets import Budget
from saccade.budgets.fixed import Fixed
from saccade.errors import ConfigError
from saccade.registry import load
from saccade.types import Scene
from tests.helpers import item


def test_every_image_gets_the_same():
    scene = Scene.of([item(2, 2), item(3, 3)])
    assert Fixed()(scene) == [273, 273]
    assert Fixed(tokens=111)(scene) == [111, 111]
    assert Fixed(tokens=111).most_tok == 111


def test_no_tokens_is_not_a_budget():
    with pytest.raises(ConfigError, match=r"tokens: .*greater than or equal to 1 \(got 0\)"):
        load("budgets", {"name": "fixed", "tokens": 0}, Budget)
