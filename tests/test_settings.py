"""Settings are values: checked when built, frozen, recorded without the module that they are defined in."""

import pytest
from pydantic import ValidationError

from pipelines.runs.experiment import Experiment
from saccade.config import LOOKS, Episode
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
