"""The command line: one file of this folder per command, imported when the command runs.

`saccade ask` is `ask` in `pipelines/commands/ask.py`: a function, or a `typer.Typer` with several commands.
`saccade --help` imports nothing of saccade, and `saccade doctor` runs even if packages are missing.
"""

import ast
import importlib
import importlib.metadata
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from pipelines.execute.diagnosis import cause
from pipelines.execute.say import say

SHARED = ("app", "options", "settings")
"""Files of this folder that are not commands."""

RENAMED: dict[tuple[str, ...], str] = {("experiment", "coverage"): "it is `saccade rank` now, with the same options"}
"""Old names of commands, and the message that they give."""


def names() -> list[str]:
    """The commands: the public files of this folder."""
    stems = (path.stem for path in Path(__file__).parent.glob("*.py"))
    return sorted(stem for stem in stems if stem not in SHARED and not stem.startswith("_"))


def load(name: str) -> Any:
    """The click command of a name."""
    command = getattr(importlib.import_module(f"pipelines.commands.{name}"), name)
    if not isinstance(command, typer.Typer):
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name)(command)
        command = alone
    return typer.main.get_command(command)


def sentence(name: str) -> str:
    """The first paragraph of a command's help, read without importing it."""
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    text = ast.get_docstring(functions[0] if functions else tree) or ""
    return " ".join(text.partition("\n\n")[0].split())


class Commands(TyperGroup):
    """All commands. An interrupted or terminated one prints how to resume, and its exit code is 130."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name=name, help=sentence(name)) for name in names()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names, loaded now."""
        if (replacement := RENAMED.get(tuple(args[:2]))) is not None:
            raise typer.BadParameter(replacement)
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name is not None and command is not None else None, rest

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            with terminated_as_interrupted():
                return super().invoke(ctx)
        except KeyboardInterrupt as stopped:  # caught here, since typer would exit without a message
            say(Console(stderr=True), str(stopped) or "interrupted")
            raise typer.Exit(130) from stopped


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Treats SIGTERM like Ctrl-C in the block: docker, Kubernetes and Slurm send it, and the first process of a
    container receives it only if it has a handler."""
    if threading.current_thread() is not threading.main_thread():  # handlers belong to the main thread
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"saccade {importlib.metadata.version('saccade')}")
        raise typer.Exit


@app.callback()
def saccade(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Answers questions about high-resolution images with a fixed budget of visual tokens."""


def expected(error: Exception) -> str | None:
    """The message of an expected error (saccade's own, a full disk, a file in the way); None for a bug."""
    own = sys.modules.get("saccade.errors")  # not imported: the error cannot be saccade's own
    if own is not None and isinstance(error, own.SaccadeError):
        return str(error)
    if text := cause(error):
        return text
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{str(error.filename)!r} is a file where a folder is needed: name another --output"
    if isinstance(error, PermissionError) and error.filename is not None:
        return f"no permission for {str(error.filename)!r}: name a place that you may use"
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] not in ("saccade", "pipelines"):
        return f"the package {error.name!r} is missing: `saccade doctor` says how to install it"
    return None


def main() -> None:
    """Entry point: expected errors are one line on stderr and exit code 2; Ctrl-C and SIGTERM are 130."""
    try:
        app()
    except Exception as error:
        if (text := expected(error)) is None:
            raise
        console = Console(stderr=True)
        console.print("[red]error:[/red]", end=" ")
        say(console, text)
        sys.exit(2)
