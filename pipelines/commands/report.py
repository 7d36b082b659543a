"""`saccade report`: one HTML page about a run."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.execute.say import say
from pipelines.reporting.page import report as write

console = Console()


def report(
    run: Annotated[
        Path,
        typer.Argument(help="Folder of a `saccade batch` or `saccade experiment`, or a results.json.", exists=True),
    ],
    output: Annotated[Path | None, typer.Option(help="The HTML file (default: RUN/report.html).")] = None,
    examples: Annotated[int, typer.Option(min=0, help="Best and worst answers shown, of each.")] = 4,
) -> None:
    """Write one HTML page about a run: scores, tokens, confidence, cost, and where it looked.

    The page needs no network and no other file. Pages of the best and the worst answers can be enlarged in it.

    Example: saccade report runs/demo --output demo.html
    """
    path = write(run, output, examples)
    say(console, f"written to {path} ({path.stat().st_size / 1e6:.1f} MB)")
