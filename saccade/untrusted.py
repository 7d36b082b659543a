"""Strategies that a stranger chooses in a request: settings for the operator alone are refused before they are built.

Three kinds are the operator's: modules from elsewhere, which would be imported; files; and numbers without a limit,
some of which are sizes of tensors. A field that may be large declares its own upper limit (`le` or `lt`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import AfterValidator

from saccade.errors import ConfigError
from saccade.registry import Strategy, find, named, names

MOST = 1024
"""Numbers in a request may not exceed this, either way, unless their field declares an upper limit."""


class FileSetting(AfterValidator):
    """Marks a field, in `Annotated`, that names a file or folder; its function checks what is there."""


def refuse(kind: str, spec: Any) -> None:
    """Refuses a strategy, as `registry.load` takes it, that a stranger must not choose; the rest is `load`'s to judge.

    Raises:
        ConfigError: it is not one of saccade's own, or a setting of it is a file or beyond the limit.
    """
    settings = named(kind, spec)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        return
    if "." in name:
        raise ConfigError(f"{name!r} is not one of saccade's own")
    if name not in names(kind):  # a view, or no such name
        return
    fields = find(kind, name, Strategy).model_fields
    for key, value in settings.items():
        marks = fields[key].metadata if key in fields else []
        if value is not None:
            refuse_file(key, marks)
        if not any(getattr(mark, limit, None) is not None for mark in marks for limit in ("le", "lt")):
            _refuse_large(key, value)


def refuse_file(name: str, marks: Sequence[Any]) -> None:
    """Raises ConfigError: the field `name` with these marks (metadata) names a file."""
    if any(isinstance(mark, FileSetting) for mark in marks):
        raise ConfigError(f"{name}: files are the server's own to name")


def refuse_scorers(given: Any) -> None:
    """As `refuse`, of a mix of scorers as `Mix.parse` takes it. Raises ConfigError."""
    entries = given.split(",") if isinstance(given, str) else given
    if not isinstance(entries, Sequence):
        raise ConfigError(f"scorers are 'name[:weight],...' or a list; got {given!r}")
    for entry in entries:
        refuse("importance", entry.partition(":")[0].strip() if isinstance(entry, str) else entry)


def _refuse_large(key: str, value: Any) -> None:
    """Raises ConfigError: a number in `value`, however deep and also in quotes, is beyond `MOST`."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            _refuse_large(key, inner)
        return
    try:
        number: Any = float(value) if isinstance(value, str) else value  # fields read a quoted number as one
    except ValueError:
        return
    if isinstance(number, int | float) and not -MOST <= number <= MOST:
        huge = len(value) > 30 if isinstance(value, str) else isinstance(value, int) and abs(value) >= 10**30
        said = "a huge number" if huge else value
        raise ConfigError(f"{key} is {said}; a request may say at most {MOST}")
