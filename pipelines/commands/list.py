"""`saccade list`: what can be named in options and configurations."""

from typing import Annotated

import typer

from saccade.errors import ConfigError
from saccade.registry import names, sentence

FOLDERS = {"pictures": "viz.pictures"}
KINDS = tuple("samplers importance planners budgets integration reduction datasets families engines pictures".split())
"""What `saccade list` lists: the folders of saccade/ of that name, or of the one in FOLDERS."""


def list(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}.")] = "",
) -> None:
    """List what can be named in options and configurations: one name per line, then its sentence.

    Without KIND all kinds are listed.
    """
    if kind and kind not in KINDS:
        raise ConfigError(f"no kind {kind!r}. There are: {', '.join(KINDS)}")
    for each in (kind,) if kind else KINDS:
        folder = FOLDERS.get(each, each)
        found = names(folder)
        indent = "" if kind else "  "
        if not kind:
            typer.echo(f"{each}:")
        width = max(map(len, found))
        for name in found:
            typer.echo(f"{indent}{name:<{width}}  {sentence(folder, name)}")
