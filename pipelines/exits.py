"""How a command ends when it does not end well: one line that says what to do."""

import sys
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from pipelines.ailing import cause


class Commands(TyperGroup):
    """The commands; whichever is interrupted says how to go on, and the exit code is 130."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:  # here: typer makes an exit of it that says nothing
            Console(stderr=True, highlight=False).print(str(stopped) or "interrupted", markup=False, soft_wrap=True)
            raise typer.Exit(130) from stopped


def expected(error: Exception) -> str | None:
    """What an error that is no fault of the code says: saccade's own, a full disk, a package that is not installed."""
    own = sys.modules.get("saccade.errors")  # an error of it comes from where it was imported
    if own is not None and isinstance(error, own.SaccadeError):
        return str(error)
    if text := cause(error):
        return text
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] not in ("saccade", "pipelines"):
        return f"the package {error.name!r} is missing: `saccade doctor` says how to install it"
    return None
