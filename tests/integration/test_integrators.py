"""Integrators by hand."""

import pytest

from saccade.integration.canvas import LastAnswer
from saccade.integration.confident import MostConfident
from saccade.integration.weighted import WeightedVote
from saccade.types import Gaze, Step
from tests.helpers import answer, step


def looks(*given: tuple[str, float, float]) -> list[Step]:
    """(text, confidence, gaze score) of each look; the text "" stands for "cannot read"."""
    return [
        step([i], 9, answer(text, confidence, bool(text)), Gaze((0.5, 0.5), "test", score))
        for i, (text, confidence, score) in enumerate(given)
    ]


def test_canvas_takes_the_last_that_could_be_read():
    assert LastAnswer()(looks(("a", 0.9, 1), ("b", 0.1, 1))).text == "b"
    assert LastAnswer()(looks(("a", 0.1, 1), ("", 0.0, 1))).text == "a"


def test_confident_takes_the_surest_and_the_later_of_equals():
    assert MostConfident()(looks(("a", 0.2, 1), ("b", 0.9, 1), ("c", 0.5, 1))).text == "b"
    assert MostConfident()(looks(("a", 0.9, 1), ("b", 0.9, 1), ("c", 0.5, 1))).text == "b"
    assert MostConfident()(looks(("", 0.99, 1), ("b", 0.1, 1))).text == "b"


def test_weighted_adds_up_votes_of_equal_text():
    steps = looks(("12  May", 0.4, 1.0), ("13 May", 0.6, 1.0), ("12 may", 0.5, 1.0))
    assert WeightedVote()(steps) is steps[2].answer  # 0.9 against 0.6, and 0.5 is surer than 0.4
    assert WeightedVote()(looks(("", 0.9, 1.0), ("", 0.9, 1.0), ("7", 0.1, 0.1))).text == "7"
    assert WeightedVote()(looks(("a", 0.5, 0.0), ("b", 0.5, 0.0))).text == "b"


def test_votes_do_not_depend_on_the_gazes_scores():
    """Two sure looks at places that score little outvote an unsure one at the place that scores most."""
    assert WeightedVote()(looks(("a", 0.5, 1.0), ("b", 0.9, 0.1), ("b", 0.9, 0.1))).text == "b"
    assert WeightedVote()(looks(("a", 0.9, 0.0), ("b", 0.5, 1.0))).text == "a"


@pytest.mark.parametrize("integrate", [LastAnswer(), MostConfident(), WeightedVote()])
def test_cannot_read_is_the_answer_when_nothing_could_be_read(integrate):
    assert not integrate(looks(("", 0.1, 1), ("", 0.2, 1))).readable


@pytest.mark.parametrize("integrate", [LastAnswer(), MostConfident(), WeightedVote()])
def test_a_model_that_says_nothing_takes_no_answer_back(integrate):
    """Models without a token for "cannot read" end at once: an empty answer, of confidence 0."""
    nothing = step([1], 9, answer("", 0.0, readable=True))
    assert integrate([*looks(("12.00", 0.0, 1)), nothing]).text == "12.00"
    assert integrate([nothing, nothing]).text == ""
