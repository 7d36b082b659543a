"""Weighted mixes of scorers."""

import pytest
import torch

from saccade.errors import ConfigError, UnknownName
from saccade.importance import Mix
from saccade.importance.norm import Norm
from saccade.importance.received import Received
from saccade.tokens.ranking import normalise
from saccade.types import Scene
from tests.helpers import item

SCENE = Scene.of([item(3, 4), item(2, 3, seed=1)])


def test_a_mix_is_the_weighted_sum():
    mix = Mix.parse("norm:3, received")
    expected = 0.75 * Norm()(SCENE) + 0.25 * Received()(SCENE)
    assert torch.allclose(mix(SCENE), normalise(expected, SCENE.present), atol=1e-6)
    assert torch.equal(Mix.parse("norm")(SCENE), Norm()(SCENE))


def test_a_list_carries_settings():
    mix = Mix.parse([{"name": "norm", "weight": 2, "at": "after"}, "received:0.5"])
    assert mix.parts[0] == (2.0, {"name": "norm", "at": "after"})
    assert Mix(**mix.model_dump()) == mix


@pytest.mark.parametrize("text", ["norm:0", "norm:-1", "norm:x", "norm:nan", "norm:inf"])
def test_weights_are_positive_numbers(text):
    with pytest.raises(ConfigError, match="positive number"):
        Mix.parse(text)


def test_unknown_scorers_are_named():
    with pytest.raises(UnknownName, match="'norms'.*norm, preset"):
        Mix.parse("norms")
