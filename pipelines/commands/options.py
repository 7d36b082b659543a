"""Command-line options made from settings classes: one per field, with its help, limits and default.

    @takes(Looking)
    def ask(image: Path, question: str, *, settings: dict[str, Any]) -> None: ...

The command gets one dict, `settings`: the --config file, overruled by options, overruled by --set
(`pipelines.commands.settings.merged`). A new field of the class appears in the help of every command that takes it, in
files and in --set; nothing here changes.
"""

import functools
import importlib
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from pipelines.commands.settings import NAMED, merged, named_by
from saccade.registry import Strategy, find, names, sentence
from saccade.settings import Settings, Short, option_of

CONFIG = Annotated[
    Path | None,
    typer.Option(
        help="YAML with any of the settings; options given here win.",
        exists=True,
        dir_okay=False,
        rich_help_panel="More settings",
    ),
]
SET = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Any setting by its dotted name: sampler.ratio=0.6, engine.dtype=float32 (`saccade list settings`).",
        rich_help_panel="More settings",
    ),
]


METAVARS = {int: "N", float: "X", Path: "PATH"}
MOST_CHOICES = 22
"""Characters that a list of choices may take as a metavar; a longer list is written in the help."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One option of a command line."""

    name: str
    takes: Any  # bool, int, float, str, Path, or list[str]
    default: Any
    help: str
    panel: str
    metavar: str
    completes: str = ""  # folder of saccade/ whose names complete it

    def with_default(self, default: Any) -> "Flag":
        """This option with a command's own default."""
        return replace(self, default=default, help=re.sub(r" \(default: .*\)\.$", ".", self.help))

    @property
    def help_text(self) -> str:
        """The help with the default in it; typer would print the default on a separate line."""
        if self.takes is bool or self.default is None:
            return self.help
        default = ", ".join(self.default) if isinstance(self.default, list) else self.default
        default = f"{default:g}" if isinstance(default, float) else default
        if self.help.endswith(")."):
            return f"{self.help[:-2]}; default: {default})."
        return f"{self.help if self.help.endswith('...') else self.help.removesuffix('.')} (default: {default})."

    def parameter(self) -> inspect.Parameter:
        """The parameter that typer reads from a signature."""
        spelled = "--" + self.name.replace("_", "-")
        kind = self.takes if self.takes is bool else self.takes | None
        option = typer.Option(
            spelled,
            help=self.help_text,
            show_default=False,
            metavar=None if self.takes is bool else self.metavar,
            rich_help_panel=self.panel,
            autocompletion=_completer(self.completes) if self.completes else None,
        )
        where = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.name, where, default=self.default, annotation=Annotated[kind, option])


def _completer(folder: str) -> Callable[[str], list[str]]:
    """Shell completion: the names in a folder of saccade/ that start with what has been typed."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names(folder) if name.startswith(incomplete)]

    return complete


def flags(settings: type[Settings]) -> Iterator[Flag]:
    """The options of a settings class, including those of settings nested in it."""
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from flags(field.annotation)
            continue
        option = option_of(field.metadata)
        panel = option.panel or _home(settings, name).panel
        if option.spelled is not None:
            yield _short(option.spelled, panel, "")
        elif not option.hidden:
            yield _flag(name, field, panel, completes=option.names)
        for short in option.shorts:
            yield _short(short, panel, option.names)


def _home(settings: type[Settings], name: str) -> type[Settings]:
    """The class that declares a field; its panel is the field's."""
    return next(each for each in settings.__mro__ if name in each.__dict__.get("__annotations__", {}))


def _flag(name: str, field: FieldInfo, panel: str, completes: str = "") -> Flag:
    """The option of one field."""
    default = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
    takes, choices = _type(field.annotation)
    limits = [getattr(item, side) for side in ("ge", "le") for item in field.metadata if hasattr(item, side)]
    between = f"{limits[0]}-{limits[1]}" if len(limits) == 2 else ""
    help_text = _help(field.description or "")
    if choices is not None and len(choices) > MOST_CHOICES:
        help_text, choices = f"{help_text.removesuffix('.')}: {choices.replace('|', ', ')}.", "NAME"
    return Flag(
        name,
        takes,
        str(_shown(default)) if takes is str and default is not None else _shown(default),
        help_text,
        panel,
        choices or between or ("NAME" if completes else METAVARS.get(takes, "TEXT")),
        completes,
    )


def _short(short: Short, panel: str, folder: str) -> Flag:
    """The option of a setting of a strategy, or of a field that has another name on the command line."""
    if short.of:
        inner = find(folder, short.of, Strategy).model_fields[short.name]
        flag = _flag(short.name, inner, panel)
        if short.takes is str:
            flag = replace(flag, takes=str, default=str(flag.default))
        return replace(flag, help=short.help or flag.help, metavar=short.metavar or flag.metavar)
    metavar = short.metavar or METAVARS.get(short.takes, "TEXT")
    return Flag(short.name, short.takes or str, None, short.help, panel, metavar)


def _type(annotation: Any) -> tuple[Any, str | None]:
    """The type that typer reads for an annotation, and the metavar that lists its choices, if it has any."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _type(kinds[0]) if len(kinds) == 1 else (str, None)
    if get_origin(annotation) is Literal:
        return str, "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return list[str], None
    return (annotation, None) if annotation in (bool, int, float, Path) else (str, None)


def _shown(default: Any) -> Any:
    """A default as the help prints it: a strategy by its name."""
    if isinstance(default, Mapping):
        return default.get("name")
    return list(default) or None if isinstance(default, tuple) else default


def _help(description: str) -> str:
    """A field's description as help of an option: `X; None: Y.` becomes `X (default: Y).`"""
    return re.sub(r"; None: (.*)\.$", r" (default: \1).", description)


def takes(
    *settings: type[Settings],
    leave_out: tuple[str, ...] = (),
    defaults: Mapping[str, Any] | None = None,
    changes: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of these settings. `defaults` of its own overrule those of the fields.

    `changes`: they change settings that the command has from elsewhere. They have no defaults then, and a strategy has
    a name only if one was given.

    The command takes `settings`, one nested dict, and, if its signature names them, `given`: only the options that were
    given on the command line, and `named`: these and what --set gives.
    """
    own = dict(defaults or {})

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = [flag for each in settings for flag in flags(each) if flag.name not in leave_out]
        options = [flag.with_default(own.get(flag.name)) if changes or flag.name in own else flag for flag in options]
        parameters = [flag.parameter() for flag in options]
        signature = inspect.signature(command)
        of_command = [each for key, each in signature.parameters.items() if key not in ("settings", "given", "named")]
        known = {flag.name for flag in options}
        plain = {name for each in settings for name in each.model_fields}
        unnamed: dict[str, Any] = {name: {} for name in NAMED if changes and name in plain}

        @functools.wraps(command)
        def run(context: typer.Context, **values: Any) -> None:
            given = {key: value for key, value in given_in(context).items() if key in known}
            chosen = merged(values["config"], given, values["set"], own | unnamed, plain)
            chosen = {key: value for key, value in chosen.items() if value != {} or key not in unnamed}
            parts: dict[str, Any] = {"settings": chosen}
            if "given" in signature.parameters:
                parts["given"] = given
            if "named" in signature.parameters:
                parts["named"] = given | named_by(values["set"])
            command(**{each.name: values[each.name] for each in of_command}, **parts)

        where = inspect.Parameter.KEYWORD_ONLY
        more = [
            inspect.Parameter("config", where, default=None, annotation=CONFIG),
            inspect.Parameter("set", where, default=None, annotation=SET),
        ]
        first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        every = [first, *(each.replace(kind=where) for each in of_command), *parameters, *more]
        run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        run.__annotations__ = {}
        return run

    return decorate


def given_in(context: typer.Context) -> dict[str, Any]:
    """The parameters given on the command line, without defaults, which must not overrule a file."""
    source = context.get_parameter_source
    return {
        name: value for name, value in context.params.items() if str(getattr(source(name), "name", "")) != "DEFAULT"
    }


def passed_on(
    app: typer.Typer, name: str, words: str, module: str, then: Callable[[Any], None] = lambda result: None
) -> None:
    """Adds a command that passes its arguments, --help included, to a module's `main(argv)`: options are declared once.

    `then` is called with what `main` returned.
    """
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    _, _, stem = module.rpartition(".")

    @app.command(name, help=sentence("training", stem), context_settings=settings, add_help_option=False)
    def run(context: typer.Context) -> None:
        before, sys.argv = sys.argv, [f"saccade {words}"]  # argparse takes its name from there
        try:
            then(importlib.import_module(module).main(context.args))
        finally:
            sys.argv = before
