"""Settings are values: checked when built, frozen, recorded without the module that they are defined in."""

from contextlib import nullcontext
from typing import Any

import pytest
from pydantic import ValidationError

import saccade
from pipelines.runs.experiment import Experiment
from saccade.config import LOOKS, VIEWS, Episode, refuse_idle
from saccade.errors import ConfigError
from saccade.registry import Strategy


def test_a_copy_is_checked_like_the_original() -> None:
    assert Episode().with_settings(fixations=2) == Episode(fixations=2)
    with pytest.raises(ValidationError, match="fixations"):
        Episode().with_settings(fixations=-1)
    with pytest.raises(ValidationError, match="frozen"):
        Episode().fixations = 2  # type: ignore[misc]


def test_ink_is_shown_until_looks_are_asked_for() -> None:
    assert Episode().view == "ink"
    for asked in ({"fixations": 2}, {"budget": "adaptive"}, {"planner": "saliency"}, {"encoder": "lazy"}):
        assert Episode(**asked).sampler == LOOKS == Episode().with_settings(**asked).sampler
        assert Episode(**asked, sampler="topk").sampler == "topk"
    assert Episode(sampler="full").with_settings(fixations=2).view == "full", "it was asked for"
    assert Episode(stop_at=0.9, ink_tolerance=8).view == "ink"


def test_what_is_given_beside_an_effort_wins() -> None:
    low, high = Episode(effort="low"), Episode(effort="high", reread=2)
    assert (low.view, low.print_px, Episode(effort="low", print_px=5).print_px) == ("ink", 7, 5)
    assert (Episode(effort="low", fixations=3).sampler, Episode(effort="low", fixations=3).print_px) == (LOOKS, 7)
    assert Episode(effort="low", sampler="resize").print_px is None, "it has a size of its own"
    assert (high.view, high.reread, high.stop_at) == ("ink", 2, 0.9)
    assert high.with_settings(effort="low") == low and low.with_settings(effort="medium") == Episode()
    assert Episode(**low.dump()) == low
    looks = Episode(sampler="topk", fixations=5, scorer="edges")
    assert looks.with_settings(effort="high") == Episode(sampler="topk", fixations=5, scorer="edges", effort="high")
    with pytest.raises(ValidationError, match="effort"):
        Episode(effort="heroic")


@pytest.mark.parametrize("name", ["fovea", "print_px", "reread"])
def test_what_is_multiplied_must_be_finite(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Episode(**{name: float("inf")})


def test_what_is_recorded_names_no_module() -> None:
    made = Experiment(title="x", dataset={"name": "synthdoc"}, variants={"full": {"sampler": "full"}})
    for settings in (Episode(), made):
        assert not isinstance(settings, Strategy)
        assert "name" not in settings.dump()
        assert type(settings)(**settings.dump()) == settings


def test_another_sampler_takes_back_what_an_effort_set_beside_the_one_before() -> None:
    low = Episode(effort="low")
    assert low.with_settings(sampler="resize") == Episode(effort="low", sampler="resize"), "it has a size of its own"
    assert low.with_settings(sampler="resize").with_settings(sampler="ink") == Episode(effort="low", sampler="ink")
    own = Episode(effort="low", print_px=9.0)
    assert own.with_settings(sampler="topk").print_px == 9.0
    with pytest.raises(ConfigError, match="--print-px 9 shrinks"):
        own.with_settings(sampler="resize")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_no_settings(view: str) -> None:
    assert Episode(sampler={"name": view}).view == view
    with pytest.raises(ConfigError, match=f"--sampler {view} is a view, without settings: leave out ratio, tokens"):
        Episode(sampler={"name": view, "tokens": 100, "ratio": 0.3})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"encoder": "full"}, "--encoder full would change nothing"),
        ({"sampler": "full", "fixations": 2}, "--sampler full .* --fixations would change nothing"),
        ({"sampler": "ink", "tokens": 50, "planner": "saliency"}, "--tokens and --planner would change nothing"),
        ({"sampler": "gundam", "tokens": 50}, "--sampler gundam .* --tokens would change nothing"),
        ({"sampler": "resize", "scorer": "edges"}, "--sampler resize .* --scorer would change nothing"),
        ({"sampler": "random", "scorer": "edges", "fovea": 2.0}, "--sampler random .* --fovea and --scorer would"),
        ({"plain": 0.3}, "plain = 0.3 would change nothing: give --encoder mixed"),
        ({"canvas_cap": 50, "fixations": 2}, "canvas_cap = 50 would change nothing: give --canvas shared"),
        ({"sampler": "full", "encoder": "full", "fixations": 1}, None),
        ({"sampler": "resize", "tokens": 50, "fixations": 2}, None),
        ({"sampler": "random", "tokens": 50, "glimpse": 9}, None),
        ({"encoder": "mixed", "plain": 0.3}, None),
        ({"tokens": 50, "scorer": "edges", "fovea": 2.0}, None),
    ],
)
def test_what_is_named_and_changes_nothing_is_refused(given: dict[str, Any], told: str | None) -> None:
    with nullcontext() if told is None else pytest.raises(ConfigError, match=told):
        refuse_idle(given, Episode(**given))


def test_loading_refuses_what_changes_nothing_before_there_is_a_model() -> None:
    with pytest.raises(ConfigError, match="--fixations would change nothing"):
        with saccade.load("no/such/model", sampler="full", fixations=2):
            pass
