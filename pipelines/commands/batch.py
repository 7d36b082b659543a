"""`saccade batch`: all questions of a data set."""

from typing import Any

from rich.console import Console

from pipelines.commands.options import takes
from pipelines.commands.settings import run_config
from pipelines.execute.run import batch as run
from pipelines.reporting.summary_table import table
from pipelines.runs.config import RunConfig

console = Console()


@takes(RunConfig)
def batch(*, settings: dict[str, Any]) -> None:
    """Answer all questions of a data set on Ray: each image is encoded once, a bad one costs its own rows.

    Writes OUTPUT/answers/*.parquet (one row per question), summary.json and run.yaml. Killed at any
    moment, the same command with --resume goes on and answers every question exactly once.

    Example: saccade batch --dataset synthdoc --limit 32 --output runs/demo
    """
    chosen = run_config(settings)
    summary = run(chosen, Console(stderr=True))
    console.print(table(summary))
    console.print(f"answers, summary.json and run.yaml are in {chosen.output}", highlight=False, soft_wrap=True)
