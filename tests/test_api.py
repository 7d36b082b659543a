"""The library's front door: the names that the command line has, and messages instead of tracebacks."""

from pathlib import Path
from typing import Any

import pytest

import saccade
from tests import tiny

ENGINE = {"name": "hf", "device": "cpu", "max_new_tok": 2}


@pytest.mark.parametrize(
    "tokens, budget",
    [
        (12, {"name": "fixed", "tokens": 12}),
        ("tiny", {"name": "fixed", "tokens": "tiny"}),
        ("auto", {"name": "adaptive"}),
    ],
)
def test_tokens_are_a_budget(tokens: Any, budget: dict[str, Any]) -> None:
    episode = saccade.Episode(tokens=tokens)
    assert episode.budget == budget == saccade.Episode().with_settings(tokens=tokens).budget
    assert episode.sampler == "hybrid", "who gives tokens asks for looks"


def test_tokens_change_the_budget_that_takes_them() -> None:
    window = {"name": "window", "max_model_len": 4096}
    assert saccade.Episode(budget=window, tokens=50).budget == {"name": "fixed", "tokens": 50}
    assert saccade.Episode(budget={"name": "fixed", "tokens": 9}, tokens="50").budget == {"name": "fixed", "tokens": 50}


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"tokns": 12}, "tokns: there is no such setting.*Did you mean 'tokens'"),
        ({"fixations": -1}, "fixations: must be at least 0 and at most 64"),
        ({"sampler": "topkk"}, "Did you mean 'topk'"),
        ({"sampler": "inkk"}, "Did you mean 'ink'.* Also: ink, full, resize, gundam"),
        ({"tokens": [1]}, "budget 'fixed'"),
    ],
)
def test_wrong_settings_are_told_before_a_model_is_loaded(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(saccade.ConfigError, match=text), saccade.load("no/such/model", **settings):
        pass


def test_an_eye_is_held_without_a_block_and_closed(qwen2_5_vl: Path) -> None:
    eye = saccade.load(str(qwen2_5_vl), engine=ENGINE, sampler="full")
    assert eye.look(tiny.page(140, 196), "What is the total?").steps
    eye.close()
    eye.close()  # twice is no error
    with pytest.raises(saccade.EngineError, match="closed.*saccade.load opens another"):
        eye.look(tiny.page(140, 196), "What is the total?")


def test_one_question_and_several(qwen2_5_vl: Path) -> None:
    page = tiny.page(140, 196)
    with saccade.load(str(qwen2_5_vl), engine=ENGINE, sampler="full") as eye:
        first, second = eye.look_many(page, ["What is the total?", "What is the date?"])
        assert first.question == "What is the total?" and second.question == "What is the date?"
        assert eye.look(page, "What is the total?").answer.text == first.answer.text
        few = eye.look_many(page, ["What is the total?"], sampler="topk", tokens=5, fixations=1)
        assert few[0].cost.visual_tok == 5, "settings of one call overrule the eye's own"
        with pytest.raises(saccade.ConfigError, match="Did you mean 'tokens'"):
            eye.look_many(page, ["What is the total?"], token=5)
        with pytest.raises(saccade.ConfigError, match="--sampler full .* --fixations would change nothing"):
            eye.look_many(page, ["What is the total?"], fixations=2)
        with pytest.raises(saccade.QuestionError, match="look_many takes several"):
            eye.look(page, ["What?"])  # type: ignore[arg-type]
        with pytest.raises(saccade.QuestionError, match="look takes one"):
            eye.look_many(page, "What?")
        with pytest.raises(saccade.QuestionError, match="question 2 must be a text; got NoneType: None"):
            eye.look_many(page, ["What?", None])  # type: ignore[list-item]
