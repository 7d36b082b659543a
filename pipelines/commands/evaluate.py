"""Read generated pages with a checkpoint in several views: accuracy of answers and of characters, by letter height."""

import typer

from pipelines.commands.options import passed_on

evaluate = typer.Typer(add_completion=False)
passed_on(evaluate, "evaluate", "evaluate", "saccade.training.evaluate")
