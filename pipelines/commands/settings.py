"""Settings as a user gives them (a file, options, --set), merged and checked.

`merged` makes one nested dict of all three. `episode`, `episode_and_engine`, `run_config` and `serve_config` check it
and return what a command runs.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic.fields import FieldInfo

from pipelines.runs.config import RunConfig
from pipelines.runs.engine import settled
from saccade.budgets import of_tokens
from saccade.config import LOOKS, Episode
from saccade.datasets import open_dataset
from saccade.engines import EngineSpec, choose_engine
from saccade.errors import ConfigError
from saccade.registry import checked, named
from saccade.settings import Settings, option_of
from saccade.wording import meant

if TYPE_CHECKING:
    from pipelines.serving.settings import ServeConfig


def _fields(settings: type[Settings]) -> dict[str, FieldInfo]:
    """Every field of a settings class by its name, including those of settings nested in it."""
    fields: dict[str, FieldInfo] = {}
    for name, field in settings.model_fields.items():
        inner = field.annotation
        fields |= _fields(inner) if isinstance(inner, type) and issubclass(inner, Settings) else {name: field}
    return fields


FIELDS = _fields(RunConfig)

NAMED = {name: option.names for name, field in FIELDS.items() if (option := option_of(field.metadata)).names}
"""Settings that name a strategy, and the folder of saccade/ that holds it; each may have settings of its own."""

SHORT = {each.name: f"{name}.{each.name}" for name in NAMED for each in option_of(FIELDS[name].metadata).shorts}
"""Short names of nested settings, as options, in files and in --set: tokens is budget.tokens."""


def merged(
    config: Path | None,
    options: Mapping[str, Any],
    sets: Sequence[str] | None,
    defaults: Mapping[str, Any] | None = None,
    plain: Collection[str] = (),
) -> dict[str, Any]:
    """One nested dict of settings: the config file overrules `defaults`, options overrule the file, --set all of them.

    `plain`: names that this command uses for a setting of its own, and that are not expanded as in SHORT.

    Raises:
        ConfigError: the file is not a YAML mapping, or an entry of --set is not KEY=VALUE.
    """
    settings: dict[str, Any] = {}
    short = {key: dotted for key, dotted in SHORT.items() if key not in plain}
    for key, value in (defaults or {}).items():
        put(settings, short.get(key, key), value)
    loaded = {} if config is None else _read(config)
    for key in sorted(loaded, key=short.__contains__):  # `engine: {...}` must not undo the `model: ...` above it
        put(settings, short.get(key, key), loaded[key])
    names_first = sorted(options.items(), key=lambda option: option[0] in short)  # in whatever order they were typed
    for key, value in [*names_first, *pairs(sets)]:
        put(settings, short.get(key, key), value)
    return settings


def _read(config: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(config.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{config} is not YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        raise ConfigError(f"{config} is empty; it must hold `key: value` lines, as in `fixations: 2`")
    if not isinstance(loaded, dict):
        raise ConfigError(f"{config} must hold `key: value` lines; it holds {loaded!r:.60}")
    if "identity" in loaded and isinstance(loaded.get("episode"), dict):
        return _recorded(loaded)
    return {str(key): value for key, value in loaded.items()}


def _recorded(run: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a run.yaml, to repeat the run; without its output folder and how it resumes."""
    own = RunConfig.model_fields.keys() - {"episode", "output", "resume", "retry_errors"}
    return {**run["episode"], **{key: run[key] for key in run if key in own}}


def pairs(sets: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """The entries of --set, as (key, value).

    Raises:
        ConfigError: an entry is not KEY=VALUE, or its value is not YAML.
    """
    for entry in sets or []:
        key, equals, value = entry.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set takes KEY=VALUE, as in --set sampler.ratio=0.6; got {entry!r}")
        try:
            yield key, yaml.safe_load(value)
        except yaml.YAMLError as error:
            reason = " ".join(str(getattr(error, "problem", None) or error).split())
            raise ConfigError(f"--set {entry!r}: the value is read as YAML, and is not YAML: {reason}") from error


def named_by(sets: Sequence[str] | None) -> dict[str, Any]:
    """The entries of --set under the names that options have: `sampler.name` is `sampler`, `budget.tokens` `tokens`.

    Raises:
        ConfigError: as `pairs`.
    """
    short = {dotted: key for key, dotted in SHORT.items()}
    return {short.get(key, key.removesuffix(".name")): value for key, value in pairs(sets)}


def put(settings: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets a nested key. Repeating a strategy's name keeps its other settings; a new name drops them."""
    head, _, rest = dotted.partition(".")
    if dotted == SHORT["tokens"]:
        settings[head] = of_tokens(value, settings.get(head, default(head)))
    elif rest:
        before = settings[head] if head in settings else default(head)
        if not isinstance(before, str | Mapping):
            raise ConfigError(f"no setting {dotted!r}: {head} is {before!r} and has no settings of its own")
        inner = dict(named(head, before))
        if rest == "name" and head in NAMED and head != "engine" and value != inner.get("name"):
            inner = {}
        put(inner, rest, value)
        settings[head] = inner
    elif head == "engine" and isinstance(value, str):
        put(settings, "engine.name", value)  # every engine has a model: changing the engine keeps it
    elif not (head in NAMED and head in settings and isinstance(value, str) and _name(settings[head]) == value):
        settings[head] = value


def _name(spec: Any) -> Any:
    return spec.get("name") if isinstance(spec, Mapping) else spec


def default(key: str) -> Any:
    """The strategy that `--set sampler.ratio=0.6` changes if none is named: for sampler the default of looks."""
    if key == "sampler":
        return LOOKS
    return FIELDS[key].get_default(call_default_factory=True, validated_data={}) if key in NAMED else {}


def refuse_of_data(target: str, given: Mapping[str, Any]) -> None:
    """Raises ConfigError if an option of a data set was given together with an image, which has one question."""
    of_data = {"limit", "output", *(name for name, dotted in SHORT.items() if dotted.startswith("dataset."))}
    if extra := sorted(given.keys() & (of_data - {"question", "pages"})):
        raise ConfigError(f"{target} is an image, which does not go with {', '.join(extra)}")


def refuse_unknown(settings: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Raises ConfigError, which lists all names, if a setting is not one of `allowed`."""
    names = list(allowed)
    if unknown := [key for key in settings if key not in names]:
        short = [f"{key} ({dotted})" for key, dotted in SHORT.items() if dotted.partition(".")[0] in names]
        wrong = ", ".join(f"{key}: {settings[key]!r}" for key in unknown)
        near = "".join(meant(str(key), [*names, *SHORT]) for key in unknown)
        raise ConfigError(f"no setting {wrong}. {near}Settings: {', '.join([*names, *short])}")


def episode_and_engine(settings: Mapping[str, Any]) -> tuple[Episode, EngineSpec]:
    """How to look and what to look with, for the commands that open an engine in this process.

    Raises:
        ConfigError: a setting is unknown or out of range, or this machine lacks the engine or its device.
    """
    refuse_unknown(settings, [*Episode.model_fields, "engine"])
    looks = episode({key: settings[key] for key in settings if key != "engine"})
    return looks, settled(choose_engine(settings.get("engine")), here=True)


def episode(settings: Mapping[str, Any]) -> Episode:
    """An `Episode` from settings.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    return checked(Episode, settings)


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    """A `RunConfig` from settings.

    Raises:
        ConfigError: a setting is unknown or out of range, or the engine cannot run on this machine.
    """
    refuse_unknown(settings, [*Episode.model_fields, *(key for key in RunConfig.model_fields if key != "episode")])
    spec = named("dataset", settings.get("dataset", default("dataset")))
    name = spec.pop("name", default("dataset"))
    if not isinstance(name, str):
        raise ConfigError(f"dataset needs the name of a data set, or a path; got {name!r}")
    dataset = open_dataset(name, **spec)
    own = {key: settings[key] for key in settings if key in RunConfig.model_fields}
    own = {"output": Path("runs") / (Path(name).stem or "run"), **own, "dataset": dataset.spec()}
    looks = episode({key: settings[key] for key in settings if key not in own})
    return checked(RunConfig, {**own, "episode": looks})


def serve_config(settings: Mapping[str, Any]) -> "ServeConfig":
    """A `ServeConfig` from settings.

    Raises:
        ConfigError: a setting is unknown or out of range, the key file holds no key, or the engine is not installed.
    """
    from pipelines.serving.settings import SPELLED, ServeConfig

    names = [*(key for key in ServeConfig.model_fields if key != "episode"), *SPELLED]
    refuse_unknown(settings, [*Episode.model_fields, *names])
    of_endpoint = {key: settings[key] for key in names if key in settings}
    looks = episode({key: settings[key] for key in settings if key in Episode.model_fields})
    config = checked(ServeConfig, {**of_endpoint, "episode": looks})
    settled(config.engine_spec, here=True)  # refuses a device that this machine lacks before anything starts
    return config
