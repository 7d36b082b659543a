"""Settings of `saccade annotate` besides those of its run; the run's folder keeps them."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pipelines.annotating.places import Places
from pipelines.runs import stored
from saccade.datasets.fields import Fields
from saccade.errors import ConfigError
from saccade.files import write_text
from saccade.registry import load
from saccade.settings import Settings


class Annotating(Settings):
    """What becomes of the answers. It changes none of them: a run may be exported again with other settings."""

    panel = "What it answers"

    review_below: float = Field(0.8, ge=0, le=1, description="Values with a confidence below this need review.")
    from_run: Path | None = Field(None, description="Take images and fields from an earlier `saccade annotate`.")
    relabel_failed: bool = Field(
        False, description="With --from-run: ask again only values that failed or need review; keep the others."
    )

    @field_validator("from_run")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """It is read again by whoever exports, from any folder."""
        return value and value.expanduser().absolute()


def write_settings(folder: Path, settings: Annotating) -> None:
    """Keeps the settings beside the run."""
    write_text(Places(folder).settings, json.dumps(settings.dump(), indent=1) + "\n")


def read_settings(folder: Path) -> Annotating:
    """The settings that a run was exported with.

    Raises:
        ConfigError: the folder is not that of an annotation.
    """
    file = Places(folder).settings
    if not file.exists():
        raise ConfigError(f"{str(folder)!r} is not the --output of a `saccade annotate`")
    return Annotating(**json.loads(file.read_text()))


def dataset_of(folder: Path) -> Fields:
    """The data set that an annotation was made of.

    Raises:
        ConfigError: the folder is not that of an annotation, or its run has not begun.
    """
    read_settings(folder)
    if not Places(folder).run_yaml.exists():
        raise ConfigError(f"nothing has been answered in {str(folder)!r} yet: its run ended before it began")
    spec: dict[str, Any] = stored.settings(folder)["dataset"]
    return load("datasets", spec, Fields)
