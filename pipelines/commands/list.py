"""`saccade list`: what can be named in options and configurations."""

from collections.abc import Iterator
from typing import Annotated

import typer

from pipelines.runs.config import RunConfig
from pipelines.serving.settings import ServeConfig
from saccade.config import Episode
from saccade.errors import ConfigError
from saccade.metrics.scoring import METRICS
from saccade.registry import names, sentence
from saccade.settings import Settings

FOLDERS = {"pictures": "viz.pictures"}
KINDS = tuple("samplers importance planners budgets integration reduction datasets families engines pictures".split())
"""The folders of saccade/ of that name, or of the one in FOLDERS, whose files are listed."""
SCORES = "metrics"
"""How answers are scored."""
SETTINGS = "settings"
"""What else is listed: the settings that files and --set take."""


def list(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}, {SCORES}, {SETTINGS}.")] = "",
) -> None:
    """List what can be named in options and configurations: one name per line, then its sentence.

    Without KIND all kinds are listed. `settings` are what --config files and --set take.
    """
    if kind and kind not in (*KINDS, SCORES, SETTINGS):
        raise ConfigError(f"no kind {kind!r}. There are: {', '.join(KINDS)}, {SCORES}, {SETTINGS}")
    for each in (kind,) if kind else (*KINDS, SCORES, SETTINGS):
        found = dict(MADE[each]() if each in MADE else _names(FOLDERS.get(each, each)))
        indent = "" if kind else "  "
        if not kind:
            typer.echo(f"{each}:")
        width = max(map(len, found))
        for name, text in found.items():
            typer.echo(f"{indent}{name:<{width}}  {text}")


def _names(folder: str) -> Iterator[tuple[str, str]]:
    return ((name, sentence(folder, name)) for name in names(folder))


def _metrics() -> Iterator[tuple[str, str]]:
    return ((name, metric.what) for name, metric in METRICS.items())


def _settings() -> Iterator[tuple[str, str]]:
    """Every setting with what it is, and its default; those of one command with its name."""
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


MADE = {SCORES: _metrics, SETTINGS: _settings}
"""What is listed from elsewhere than a folder's files."""
