"""`saccade experiment`: several ways of looking on the same questions, as one table."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.execute.experiment import run_experiment
from pipelines.runs.experiment import find_experiment, read_experiment
from pipelines.runs.tables import to_markdown

console = Console()


def experiment(
    configuration: Annotated[str, typer.Argument(help="A YAML file, or the name of one in configs/experiments/.")],
    output: Annotated[Path, typer.Option(help="Folder of the run: answers/, results.json, table.md.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Questions at most, instead of the file's.")] = None,
) -> None:
    """Compare ways of looking on the same questions, as one table with intervals.

    Interrupted, it makes the table of what is done, and goes on when started again with the same --output.

    Example: saccade experiment looks --output runs/looks
    """
    chosen = read_experiment(find_experiment(configuration))
    if limit is not None:
        chosen = chosen.with_settings(limit=limit)
    table = to_markdown(run_experiment(chosen, output, console))
    console.print(table, highlight=False, markup=False, soft_wrap=True)
