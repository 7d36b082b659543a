"""From a dict of settings (`pipelines.options.settings`) to what a command runs, checked as a whole."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.engine import settled
from pipelines.options import SHORT, default
from pipelines.run_config import RunConfig
from saccade.config import Episode
from saccade.datasets import open_dataset
from saccade.engines import EngineSpec, choose_engine
from saccade.errors import ConfigError
from saccade.registry import named, validation_text


def refuse_unknown(made: Mapping[str, Any], settings: Iterable[str]) -> None:
    """Raises ConfigError, listing all settings, if one is none of `settings`."""
    known = list(settings)
    if unknown := [key for key in made if key not in known]:
        short = [f"{key} ({dotted})" for key, dotted in SHORT.items() if dotted.partition(".")[0] in known]
        wrong = ", ".join(f"{key}: {made[key]!r}" for key in unknown)
        raise ConfigError(f"no setting {wrong}. Settings: {', '.join([*known, *short])}")


def asking(made: Mapping[str, Any]) -> tuple[Episode, EngineSpec]:
    """What `saccade ask` is set to.

    Raises:
        ConfigError: a setting is unknown or out of range, or the engine or its device is not there.
    """
    refuse_unknown(made, [*Episode.model_fields, "engine"])
    looks = episode({key: made[key] for key in made if key != "engine"})
    return looks, settled(choose_engine(made.get("engine")), here=True)


def episode(made: Mapping[str, Any]) -> Episode:
    """An `Episode` from settings.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    try:
        return Episode(**made)
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(Episode.model_fields)}") from error


def run_config(made: Mapping[str, Any]) -> RunConfig:
    """A `RunConfig` from settings.

    Raises:
        ConfigError: a setting is unknown or out of range, or the engine cannot run here.
    """
    refuse_unknown(made, [*Episode.model_fields, *(key for key in RunConfig.model_fields if key != "episode")])
    spec = named("dataset", made.get("dataset", default("dataset")))
    name = spec.pop("name", default("dataset"))
    if not isinstance(name, str):
        raise ConfigError(f"dataset needs the name of one, or a path; got {name!r}")
    opened = open_dataset(name, **spec)
    own = {key: made[key] for key in made if key in RunConfig.model_fields}
    own = {"output": Path("runs") / (Path(name).stem or "run"), **own, "dataset": opened.spec()}
    looks = episode({key: made[key] for key in made if key not in own})
    try:
        return RunConfig(**{**own, "episode": looks})
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(RunConfig.model_fields)}") from error
