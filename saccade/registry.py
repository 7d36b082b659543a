"""The folder is the registry: `name: hybrid` among the samplers is `saccade/samplers/hybrid.py`.

A strategy is its own configuration: one frozen pydantic model per file whose fields are its settings and whose
methods are its behaviour. It pickles, prints itself and dumps itself into result files. `acme.mine` is someone
else's module. There is no decorator and no table to edit.
"""

import ast
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from saccade.errors import ConfigError, UnknownName
from saccade.settings import Settings
from saccade.wording import meant


class Strategy(Settings):
    """A value: settings and behaviour, no resources. Equal settings are equal strategies."""

    @classmethod
    def name(cls) -> str:
        """The name it is loaded by: the file's name, or the dotted module of someone else's strategy."""
        module = cls.__module__
        return module.rpartition(".")[2] if module.startswith("saccade.") else module

    def spec(self) -> dict[str, Any]:
        """`{"name": ..., settings}`: what `load` takes and what result files record."""
        return {"name": self.name(), **self.dump()}


S = TypeVar("S", bound=Strategy)
T = TypeVar("T")


NOUNS = {
    "datasets": "data set",
    "dataset": "data set",
    "families": "family",
    "importance": "scorer",
    "integration": "integrator",
    "viz.pictures": "picture",
}
"""What messages call a file of a folder, where it is not the folder's name without its s."""


LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
"""How messages call the limits of a setting."""


def noun(kind: str) -> str:
    """What messages call a strategy of a kind: a sampler, a scorer."""
    return NOUNS.get(kind, kind.removesuffix("s"))


def names(kind: str) -> list[str]:
    """Names of one kind (`samplers`, `importance`, ...): the public files of that folder, sorted."""
    package = importlib.import_module(f"saccade.{kind}")
    modules = pkgutil.iter_modules(package.__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_") and not module.ispkg)


def find(kind: str, name: str, base: type[T], also: Collection[str] = ()) -> type[T]:
    """The one public subclass of `base` in the module of that name. `also`: names that the caller takes beside them.

    Raises:
        UnknownName: no such module; the message suggests the nearest name and lists the folder.
        ConfigError: the module holds no strategy of that kind, or several.
    """
    dotted = name if "." in name else f"saccade.{kind}.{name}"
    if not all(part.isidentifier() for part in dotted.split(".")) or ("." not in name and name not in names(kind)):
        others = f"Also: {', '.join(also)}. " if also else ""
        raise UnknownName(
            f"no {noun(kind)} named {name!r}. {meant(name, (*names(kind), *also))}"
            f"In saccade/{kind}/: {', '.join(names(kind))}. {others}"
            "A dotted name such as 'your_package.your_module' loads your own."
        )
    try:
        module = importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{dotted}.".startswith(f"{error.name}."):
            needed = f"{noun(kind)} {name!r} needs the package {error.name!r}: pip install {error.name}"
            raise ConfigError(needed) from error
        raise UnknownName(f"no module {dotted!r} for a {noun(kind)}: is it on the Python path?") from error
    own = [
        value
        for key, value in vars(module).items()
        if not key.startswith("_")
        and isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise ConfigError(f"{dotted} must hold exactly one public {base.__name__}; it holds {len(own)}")
    return own[0]


def load(kind: str, spec: str | Mapping[str, Any] | S, base: type[S], also: Collection[str] = ()) -> S:
    """A strategy from its name or from `{"name": ..., settings}`; an instance is returned as it is. `also`: see `find`.

    Raises:
        UnknownName: no strategy of that name.
        ConfigError: a setting is unknown or out of range; the message names it.
    """
    if isinstance(spec, base):
        return spec
    settings = named(kind, spec)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"the {noun(kind)} needs a 'name'; got {spec!r}")
    strategy = find(kind, name, base, also)
    try:
        return strategy.model_validate(settings)
    except ValidationError as error:
        fields = strategy.model_fields
        near = "".join(meant(key, fields) for key in settings if key not in fields)
        text = f"{noun(kind)} {name!r}: {validation_text(error, fields)}. {near}Settings: {settings_text(strategy)}"
        raise ConfigError(text) from error


def named(kind: str, spec: Any) -> dict[str, Any]:
    """A new dict `{"name": "hybrid", settings}`, from a dict or from the name `hybrid` alone.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(spec, str):
        return {"name": spec}
    if not isinstance(spec, Mapping):
        raise ConfigError(f"the {noun(kind)} needs a 'name': it is a name or {{name: ..., settings}}; got {spec!r}")
    return dict(spec)


def settings_text(settings: type[Settings]) -> str:
    """The settings of a strategy with their defaults, for messages and `saccade list`."""
    fields = settings.model_fields.items()
    return (
        ", ".join(f"{key} (required)" if field.is_required() else f"{key}={_default(field)!r}" for key, field in fields)
        or "none"
    )


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def checked(build: Callable[..., T], settings: Mapping[str, Any], known: Collection[str] = ()) -> T:
    """Settings built from values that a person gave. `known`: the names there are, without it the fields of the class.

    Raises:
        ConfigError: a setting is unknown, and the message lists all, or out of range, and it says the range.
    """
    known = known or getattr(build, "model_fields", ())
    try:
        return build(**settings)
    except ValidationError as error:
        fields = getattr(build, "model_fields", {})
        raise ConfigError(f"{validation_text(error, fields)}{unknown_text(settings, known)}") from error


def unknown_text(given: Iterable[str], known: Collection[str]) -> str:
    """The end of a message: the names that were meant, and all there are; "" where every given name is known."""
    unknown = [name for name in given if name not in known]
    return f". {''.join(meant(name, known) for name in unknown)}Settings: {', '.join(known)}" if unknown else ""


def validation_text(error: ValidationError, fields: Mapping[str, FieldInfo] | None = None) -> str:
    """A pydantic error as one line: which setting, what is wrong, the value; of `fields` also what is allowed."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'value'}: {_said(item, fields or {})} (got {item['input']!r})"
        for item in error.errors()
    )


def _said(item: Any, fields: Mapping[str, FieldInfo]) -> str:
    """What is wrong, without pydantic's own words for it: it tells the limit that was passed, this both."""
    if item["type"] == "extra_forbidden":
        return "there is no such setting"
    if item["type"].startswith(("greater_than", "less_than")) and len(item["loc"]) == 1:
        limits = fields[item["loc"][0]].metadata if item["loc"][0] in fields else []
        found = [
            f"{text} {value}"
            for each in limits
            for side, text in LIMITS.items()
            if (value := getattr(each, side, None)) is not None
        ]
        if found:
            return f"must be {' and '.join(found)}"
    return str(item["msg"]).removeprefix("Value error, ")


def sentence(kind: str, name: str) -> str:
    """The first sentence of a strategy's file, read without importing it."""
    spec = importlib.util.find_spec(f"saccade.{kind}.{name}")
    text = ast.get_docstring(ast.parse(Path(str(spec and spec.origin)).read_text())) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return re.split(r"\.\s+(?=[A-Z])", first)[0].rstrip(".") + "."
