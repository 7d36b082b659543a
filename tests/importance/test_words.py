"""Instruction relevance against a loop; presets against the sums they stand for."""

import math

import pytest
import torch

from saccade.importance import Mix
from saccade.importance.contrast import Contrast
from saccade.importance.frequency import Frequency
from saccade.importance.instruction import Instruction
from saccade.importance.late import LateInteraction
from saccade.importance.preset import Preset
from saccade.importance.query import QueryCosine
from saccade.importance.rarity import Rarity
from saccade.importance.received import Received
from saccade.importance.region import Region
from saccade.importance.variance import Variance
from saccade.tokens.ranking import normalise
from tests.importance.scenes import check, dot, of_image, scene_of, several

SCENE = several()


def test_instruction_is_its_definition():
    """No projection: the seed's random one gives other scores every time, none of them these."""
    expected = []
    for number in range(3):
        words = SCENE.query_tokens[number].tolist()
        expected.append([max(dot(v, w) for w in words) / math.sqrt(6) for v in of_image(SCENE, number, "after")])
    check(Instruction().raw(SCENE), SCENE, expected)
    assert torch.equal(Instruction().raw(SCENE), Instruction().raw(SCENE))


def test_instruction_grows_with_the_norm_and_follows_the_weights():
    tokens, words = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), torch.eye(2)
    scene = scene_of(1, 3, tokens, words)
    assert Instruction().raw(scene)[0].tolist() == pytest.approx([3 / 2**0.5, 1 / 2**0.5, 2 / 2**0.5])
    assert QueryCosine().raw(scene)[0].tolist() == [1.0, 1.0, 1.0]
    assert Instruction()(scene.weighted(torch.tensor([[0.0, 1.0]]))).argmax() == 2
    mean = Instruction(words="mean").raw(scene.weighted(torch.tensor([[0.25, 0.75]])))
    assert mean[0].tolist() == pytest.approx([0.75 / 2**0.5, 0.25 / 2**0.5, 1.5 / 2**0.5])


@pytest.mark.parametrize("at", ["before", "after"])
def test_presets_are_their_sums(at):
    pyramid = 0.3 * Contrast(at=at)(SCENE) + 0.3 * Rarity(at=at)(SCENE) + 0.2 * Received()(SCENE)
    pyramid += 0.2 * Frequency(at=at)(SCENE)
    ptp = 0.3 * Region(at=at)(SCENE) + 0.4 * Variance(at=at)(SCENE) + 0.3 * Instruction()(SCENE)
    for name, expected in (("pyramid_drop", pyramid), ("ptp", ptp)):
        found = Preset(preset=name, at=at)(SCENE)
        torch.testing.assert_close(found, normalise(expected, SCENE.present), rtol=1e-5, atol=1e-6)


def test_a_preset_is_a_part_like_any_other():
    mixed = Mix.parse("preset:0.5,query:0.5")(SCENE)
    expected = normalise(0.5 * Preset()(SCENE) + 0.5 * QueryCosine()(SCENE), SCENE.present)
    torch.testing.assert_close(mixed, expected)


def test_late_without_a_head_is_the_plain_cosine():
    assert torch.equal(LateInteraction()(SCENE), QueryCosine()(SCENE))
