"""Settings as a user gives them (a file, options, --set) to what a command runs, checked as a whole.

`settings` makes one nested dict of all three; `episode`, `asking`, `run_config` and `serve_config` make of it what a
command runs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from pipelines.runs.config import RunConfig
from pipelines.runs.engine import settled
from saccade.budgets import Budget
from saccade.config import Episode
from saccade.datasets import open_dataset
from saccade.engines import EngineSpec, choose_engine
from saccade.errors import ConfigError
from saccade.registry import find, named, validation_text

if TYPE_CHECKING:
    from pipelines.serving.settings import ServeConfig

SHORT = {
    "tokens": "budget.tokens",
    "model": "engine.model",
    "device": "engine.device",
    "max_px": "engine.max_px",
    "data_path": "dataset.data_path",
    "question": "dataset.question",
    "page_px": "dataset.page_px",
}
"""Settings inside another one that have a name of their own: as options, in files and in --set."""

NAMED = ("sampler", "planner", "budget", "integrate", "dataset", "engine")
"""Settings that are a name with settings of its own."""


def settings(config: Path | None, options: Mapping[str, Any], sets: Sequence[str] | None) -> dict[str, Any]:
    """One nested dict of settings: the config file, overruled by options, overruled by --set.

    Raises:
        ConfigError: the file is no YAML mapping, or an entry of --set is no KEY=VALUE.
    """
    made: dict[str, Any] = {}
    loaded = {} if config is None else _read(config)
    for key in sorted(loaded, key=SHORT.__contains__):  # `engine: {...}` must not undo the `model: ...` above it
        put(made, SHORT.get(key, key), loaded[key])
    for key, value in options.items():
        put(made, SHORT.get(key, key), value)
    for key, value in pairs(sets):
        put(made, SHORT.get(key, key), value)
    return made


def _read(config: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(config.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{config} is not YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        raise ConfigError(f"{config} is empty; it must hold `key: value` lines, as in `fixations: 2`")
    if not isinstance(loaded, dict):
        raise ConfigError(f"{config} must hold `key: value` lines; it holds {loaded!r:.60}")
    return {str(key): value for key, value in loaded.items()}


def pairs(sets: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """The entries of --set.

    Raises:
        ConfigError: one is no KEY=VALUE, or its value is no YAML.
    """
    for entry in sets or []:
        key, equals, value = entry.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set takes KEY=VALUE, as in --set sampler.ratio=0.6; got {entry!r}")
        try:
            yield key, yaml.safe_load(value)
        except yaml.YAMLError as error:
            reason = " ".join(str(getattr(error, "problem", None) or error).split())
            raise ConfigError(f"--set {entry!r}: the value is read as YAML, and is none: {reason}") from error


def put(made: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets a nested key. A name given again keeps the settings beside it, another name drops them."""
    head, _, rest = dotted.partition(".")
    if dotted == SHORT["tokens"]:
        made[head] = _budget(made.get(head, default(head)), value)
    elif rest:
        before = made[head] if head in made else default(head)
        if not isinstance(before, str | Mapping):
            raise ConfigError(f"no setting {dotted!r}: {head} is {before!r} and has no settings of its own")
        inner = dict(named(head, before))
        if rest == "name" and head in NAMED and head != "engine" and value != inner.get("name"):
            inner = {}
        put(inner, rest, value)
        made[head] = inner
    elif head == "engine" and isinstance(value, str):
        put(made, "engine.name", value)  # all engines have a model: another one reads it as well
    elif not (head in NAMED and head in made and isinstance(value, str) and _name(made[head]) == value):
        made[head] = value


def _budget(before: Any, tokens: Any) -> dict[str, Any]:
    """The budget that --tokens asks for: auto is `adaptive`, a number or a mode one that takes it, else `fixed`."""
    kept = named("budgets", before)
    if tokens == "auto":
        return kept if kept.get("name") == "adaptive" else {"name": "adaptive"}
    if "tokens" not in find("budgets", str(kept.get("name")), Budget).model_fields:
        kept = {"name": "fixed"}
    return {**kept, "tokens": int(tokens) if isinstance(tokens, str) and tokens.isdecimal() else tokens}


def _name(spec: Any) -> Any:
    return spec.get("name") if isinstance(spec, Mapping) else spec


def default(key: str) -> Any:
    """What `--set sampler.ratio=0.6` alone is a setting of."""
    if key in NAMED and key in Episode.model_fields:
        return Episode.model_fields[key].default
    return "synthdoc" if key == "dataset" else {}


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


SERVE_SHORT = ("api_key_file", "allow_host", "max_request_mib")
"""Options whose settings have other names."""


def serve_config(made: Mapping[str, Any]) -> "ServeConfig":
    """What `saccade serve` is set to.

    Raises:
        ConfigError: a setting is unknown or out of range, the key file holds none, or the engine is not there.
    """
    from pipelines.serving.settings import MIB, ServeConfig, key_hashes

    own = [key for key in ServeConfig.model_fields if key != "episode"]
    refuse_unknown(made, [*Episode.model_fields, *own, *SERVE_SHORT])
    kept = {key: made[key] for key in own if key in made}
    if made.get("api_key_file") is not None:
        kept["key_hashes"] = key_hashes(Path(made["api_key_file"]))
    if made.get("allow_host") is not None:
        kept["url_hosts"] = tuple(made["allow_host"])
    if made.get("max_request_mib") is not None:
        kept["max_request_bytes"] = made["max_request_mib"] * MIB
    looks = episode({key: made[key] for key in made if key in Episode.model_fields})
    try:
        config = ServeConfig(**kept, episode=looks)
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(ServeConfig.model_fields)}") from error
    settled(config.engine_spec, here=True)  # a device that is not here is refused now
    return config
