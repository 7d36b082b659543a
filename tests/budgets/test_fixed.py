"""The fixed budget: a number of tokens, or the name of one."""

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
    with pytest.raises(ConfigError, match=r"tokens: must be at least 1 and at most 16777216 \(got 0\)"):
        load("budgets", {"name": "fixed", "tokens": 0}, Budget)


@pytest.mark.parametrize(("name", "tokens"), [("tiny", 73), ("small", 111), ("base", 273), ("large", 421), ("99", 99)])
def test_modes_go_by_name(name, tokens):
    made = Fixed(tokens=name)
    assert made.tokens == made.most_tok == tokens
    assert load("budgets", made.spec(), Budget) == made == Fixed(tokens=tokens)


def test_an_unknown_mode_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"tiny \(73\), small \(111\), base \(273\), large \(421\) \(got 'huge'\)"):
        load("budgets", {"name": "fixed", "tokens": "huge"}, Budget)
