"""`saccade list`: the names that options and configurations take."""

from collections.abc import Iterator
from typing import Annotated

import typer

from pipelines.commands.show import PICTURES
from pipelines.runs.config import RunConfig
from pipelines.serving.settings import ServeConfig
from saccade.config import VIEWS, Episode
from saccade.errors import ConfigError
from saccade.metrics.scoring import METRICS
from saccade.registry import names, sentence
from saccade.settings import Settings
from saccade.wording import meant

ALSO = {"scorers": "importance"}
"""Other words for a kind: scorers are the files of saccade/importance."""
KINDS = tuple("samplers importance planners budgets integration reduction datasets families engines".split())
"""Folders of saccade/ whose files are listed."""


def _names(folder: str) -> Iterator[tuple[str, str]]:
    return ((name, sentence(folder, name)) for name in names(folder))


def _metrics() -> Iterator[tuple[str, str]]:
    return ((name, metric.what) for name, metric in METRICS.items())


def _settings() -> Iterator[tuple[str, str]]:
    """Every setting with its description and default; a setting of one command is labelled with the command."""
    classes: dict[str, type[Settings]] = {"": Episode, "batch": RunConfig, "serve": ServeConfig}
    for command, settings in classes.items():
        for name, field in settings.model_fields.items():
            if name == "episode" or (command == "serve" and name == "engine"):
                continue
            default = (
                f" Default: {field.default!r}." if field.default not in (None, ...) and not field.is_required() else ""
            )
            label = f"{name} ({command})" if command and name != "engine" else name
            yield label, f"{field.description or ''}{default}"


OTHER = {"views": VIEWS.items, "pictures": PICTURES.items, "metrics": _metrics, "settings": _settings}
"""Kinds that are not the files of a folder: what --sampler takes beside samplers, pictures as --what takes them, how
answers are scored, and what files and --set take."""


def list(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join((*KINDS, *OTHER))}.")] = "",
) -> None:
    """List what can be named in options and configurations: one name per line, then its sentence.

    Without KIND all kinds are listed. `settings` are what --config files and --set take.
    """
    kind = ALSO.get(kind, kind)
    known = (*KINDS, *OTHER)
    if kind and kind not in known:
        raise ConfigError(f"no kind {kind!r}. {meant(kind, (*known, *ALSO))}There are: {', '.join(known)}")
    for each in (kind,) if kind else known:
        listed = dict(OTHER[each]() if each in OTHER else _names(each))
        indent = "" if kind else "  "
        if not kind:
            typer.echo(f"{each}:")
        width = max(map(len, listed))
        for name, text in listed.items():
            typer.echo(f"{indent}{name:<{width}}  {text}")
