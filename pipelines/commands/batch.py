"""`saccade batch`: all questions of a data set."""

from itertools import islice
from typing import Any

import typer
from rich.console import Console

from pipelines.commands import ROWS_FAILED
from pipelines.commands.options import takes
from pipelines.commands.settings import run_config
from pipelines.execute.run import batch as run
from pipelines.execute.say import say
from pipelines.reporting.summary_table import answers, table
from pipelines.runs.config import RunConfig
from pipelines.runs.export import export
from pipelines.runs.stored import rows
from saccade.config import refuse_idle

console = Console()
FIRST = 5  # answers that are shown
RARELY = ("fovea", "levels", "canvas")  # in a file, or by --set


@takes(RunConfig, leave_out=RARELY)
def batch(*, settings: dict[str, Any], named: dict[str, Any]) -> None:
    """Answer all questions of a data set: each image is encoded once, a bad one costs its own rows.

    Runs on Ray, here or on a cluster; a few images are done sooner by a plain loop: --in-process.

    Writes OUTPUT/answers/*.parquet (one row per question), summary.json and run.yaml.
    If it is killed or stopped, the same command with --resume continues.

    Exit status: 0 all answered; 2 it could not run; 3 some rows hold an error; 130 it was stopped.

    Example: saccade batch --dataset synthdoc --limit 32 --output runs/demo
    """
    chosen = run_config(settings)
    refuse_idle(named, chosen.episode)
    summary = run(chosen, Console(stderr=True))
    console.print(answers(islice(rows(chosen.output), FIRST)))
    console.print()
    console.print(table(summary))
    if chosen.export is not None:
        say(console, f"the answers are in {export(chosen.output, chosen.export)} as well")
    say(
        console,
        f"all answers, summary.json and run.yaml are in {chosen.output}; `saccade report {chosen.output}` draws them",
    )
    if summary["errors"]:
        raise typer.Exit(ROWS_FAILED)
