"""From settings as a user gives them (a file, options, --set) to what a command runs, checked as a whole.

`merged` makes one nested dict of all three; `episode`, `asking`, `run_config` and `serve_config` turn it into what a
command runs.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pipelines.runs.config import RunConfig
from pipelines.runs.engine import settled
from saccade.budgets import Budget
from saccade.config import LOOKING, LOOKS, Episode
from saccade.datasets import open_dataset
from saccade.engines import EngineSpec, choose_engine
from saccade.errors import ConfigError
from saccade.registry import find, named, validation_text
from saccade.settings import Settings, option_of

S = TypeVar("S", bound=Settings)

if TYPE_CHECKING:
    from pipelines.serving.settings import ServeConfig


def _fields(settings: type[Settings]) -> dict[str, FieldInfo]:
    """Every field of a settings class by the name it is given by; those of settings inside it are among them."""
    found: dict[str, FieldInfo] = {}
    for name, field in settings.model_fields.items():
        inner = field.annotation
        found |= _fields(inner) if isinstance(inner, type) and issubclass(inner, Settings) else {name: field}
    return found


FIELDS = _fields(RunConfig)

NAMED = {name: option.names for name, field in FIELDS.items() if (option := option_of(field.metadata)).names}
"""Settings that are a name with settings of its own, and the folder of saccade/ whose files they name."""

SHORT = {each.name: f"{name}.{each.name}" for name in NAMED for each in option_of(FIELDS[name].metadata).shorts}
"""Settings inside another one that have a name of their own: as options, in files and in --set."""

OF_LOOKS = {
    name: option.idle
    for field, option in ((name, option_of(FIELDS[name].metadata)) for name in sorted(LOOKING))
    for name in ([] if option.hidden else [field]) + [short.name for short in option.shorts]
}
"""Options of looks, each with the value that says that there are none."""
WHOLE = ("ink", "full")
"""Views that none of these changes; `resize` and `gundam` show as much as the budget says."""


def merged(
    config: Path | None,
    options: Mapping[str, Any],
    sets: Sequence[str] | None,
    defaults: Mapping[str, Any] | None = None,
    plain: Collection[str] = (),
) -> dict[str, Any]:
    """One nested dict of settings: `defaults`, overruled by the config file, by options, by --set.

    `plain`: settings of the command itself, though their names are short for others elsewhere.

    Raises:
        ConfigError: the file is no YAML mapping, or an entry of --set is no KEY=VALUE.
    """
    made: dict[str, Any] = {}
    short = {key: dotted for key, dotted in SHORT.items() if key not in plain}
    for key, value in (defaults or {}).items():
        put(made, short.get(key, key), value)
    loaded = {} if config is None else _read(config)
    for key in sorted(loaded, key=short.__contains__):  # `engine: {...}` must not undo the `model: ...` above it
        put(made, short.get(key, key), loaded[key])
    for key, value in [*options.items(), *pairs(sets)]:
        put(made, short.get(key, key), value)
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
    if "identity" in loaded and isinstance(loaded.get("episode"), dict):
        return _recorded(loaded)
    return {str(key): value for key, value in loaded.items()}


def _recorded(run: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a run.yaml, to run the same again; where to write and how to go on are a run's own."""
    own = RunConfig.model_fields.keys() - {"episode", "output", "resume", "retry_errors"}
    return {**run["episode"], **{key: run[key] for key in run if key in own}}


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
    """What `--set sampler.ratio=0.6` alone is a setting of: a view has none, so the sampler is the one of looks."""
    if key == "sampler":
        return LOOKS
    return FIELDS[key].get_default(call_default_factory=True, validated_data={}) if key in NAMED else {}


def refuse_unused(given: Mapping[str, Any]) -> None:
    """Raises ConfigError: beside a sampler that shows everything at once, an option of looks was `given`."""
    unused = [f"--{name}" for name in OF_LOOKS if name in given and given[name] != OF_LOOKS[name]]
    if given.get("sampler") in WHOLE and unused:
        raise ConfigError(
            f"--sampler {given['sampler']} shows all there is at once, and {' and '.join(unused)} would change "
            "nothing: leave one out, or name a sampler that chooses (`saccade list samplers`)"
        )


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
    return checked(Episode, made)


def checked(settings: type[S], made: Mapping[str, Any]) -> S:
    """Settings of a class.

    Raises:
        ConfigError: a setting is unknown or out of range; the message lists all.
    """
    try:
        return settings(**made)
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(settings.model_fields)}") from error


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
    return checked(RunConfig, {**own, "episode": looks})


def serve_config(made: Mapping[str, Any]) -> "ServeConfig":
    """What `saccade serve` is set to.

    Raises:
        ConfigError: a setting is unknown or out of range, the key file holds none, or the engine is not there.
    """
    from pipelines.serving.settings import SPELLED, ServeConfig

    own = [*(key for key in ServeConfig.model_fields if key != "episode"), *SPELLED]
    refuse_unknown(made, [*Episode.model_fields, *own])
    kept = {key: made[key] for key in own if key in made}
    looks = episode({key: made[key] for key in made if key in Episode.model_fields})
    config = checked(ServeConfig, {**kept, "episode": looks})
    settled(config.engine_spec, here=True)  # a device that is not here is refused now
    return config
