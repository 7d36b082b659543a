"""Settings are values: checked when built, frozen, recorded without the module that they are defined in."""

import pytest
from pydantic import ValidationError

from pipelines.runs.experiment import Experiment
from saccade.config import Episode
from saccade.registry import Strategy


def test_a_copy_is_checked_like_the_original() -> None:
    assert Episode().with_settings(fixations=2) == Episode(fixations=2)
    with pytest.raises(ValidationError, match="fixations"):
        Episode().with_settings(fixations=-1)
    with pytest.raises(ValidationError, match="frozen"):
        Episode().fixations = 2  # type: ignore[misc]


def test_what_is_recorded_names_no_module() -> None:
    made = Experiment(title="x", dataset={"name": "synthdoc"}, variants={"full": {"sampler": "full"}})
    for settings in (Episode(), made):
        assert not isinstance(settings, Strategy)
        assert "name" not in settings.dump()
        assert type(settings)(**settings.dump()) == settings
