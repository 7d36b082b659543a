"""The planner `uncertainty`: the reader's doubt moves the gaze."""

import math

import pytest
import torch

from saccade.planners.uncertainty import Uncertainty, doubt
from saccade.types import Answer, Gaze, Scene
from tests.helpers import answer, item, step

# 3 x 3 tokens: token i is the i-th unit vector, so an answer token e_i looks like token i alone.
SCENE = Scene.of([item(3, 3, tokens=torch.eye(9), words=torch.zeros(1, 9))])
RELEVANCE = torch.tensor([[0.0, 0.1, 0.2, 0.3, 1.0, 0.5, 0.6, 0.4, 0.3]])


def answer_of(*tokens: tuple[int, float], confidence: float = 0.4, readable: bool = True) -> Answer:
    """An answer whose tokens look like these image tokens, each with the probability the reader gave it."""
    logprobs = (*(math.log(p) for _, p in tokens), -0.01)  # and the closing one
    made = answer("x", confidence, readable, tokens=torch.eye(9)[[i for i, _ in tokens]])
    return Answer(**{name: getattr(made, name) for name in made.__slots__} | {"logprobs": logprobs})


def second_gaze(given: Answer) -> Gaze:
    flow = Uncertainty().flow(SCENE, lambda scene: RELEVANCE)
    first = next(flow)
    assert (first.uv, first.reason) == ((0.5, 0.5), "most relevant")
    return flow.send(step([4], 9, given, first))


def test_two_steps_give_two_gazes():
    a = second_gaze(answer_of((0, 0.1), (2, 0.99)))  # unsure of what looks like the upper left token
    b = second_gaze(answer_of((0, 0.99), (2, 0.1)))  # unsure of what looks like the upper right one
    assert a.uv == pytest.approx((1 / 6, 1 / 6))
    assert b.uv == pytest.approx((5 / 6, 1 / 6))
    assert a.score == pytest.approx(0.6 * (0.0 + 0.9) / 2)
    assert b.score == pytest.approx(0.6 * (0.2 + 0.9) / 2)
    assert a.reason == b.reason == "uncertainty 0.60"


def test_doubt_by_hand():
    assert doubt(SCENE, answer_of((0, 0.25), (3, 1.0))).tolist() == pytest.approx([0.75, *[0.0] * 8])
    half = answer(tokens=torch.tensor([[1.0, 1.0, *[0.0] * 7]]))
    given = Answer(**{name: getattr(half, name) for name in half.__slots__} | {"logprobs": (math.log(0.5),)})
    assert doubt(SCENE, given)[:3].tolist() == pytest.approx([0.5 / 2**0.5, 0.5 / 2**0.5, 0.0])


@pytest.mark.parametrize("given", [answer(), answer_of((0, 0.1), readable=False), answer_of((0, 1.0))])
def test_without_doubt_relevance_decides(given):
    assert second_gaze(given).uv == pytest.approx((1 / 6, 5 / 6))  # token 6, the most relevant of the rest


def test_certainty_leaves_the_order():
    gaze = second_gaze(answer(confidence=1.0))
    assert gaze.uv == pytest.approx((1 / 6, 5 / 6)) and gaze.score < 1e-3
