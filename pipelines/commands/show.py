"""`saccade show`: what a run did, as pictures."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.execute.say import say
from pipelines.reporting.subjects import show as draw
from pipelines.runs.stored import place, results_file, row
from saccade.registry import names, sentence

console = Console()

PICTURES = {name.replace("_", "-"): sentence("viz.pictures", name) for name in names("viz.pictures")}
"""Names of the pictures, and what they show."""


def show(
    target: Annotated[
        Path, typer.Argument(help="Folder of a `saccade batch` or `saccade experiment`, or an image.", exists=True)
    ],
    what: Annotated[
        str,
        typer.Option(
            metavar="PICTURE",
            help=f"{', '.join(PICTURES)}.",
        ),
    ] = "trace",
    id: Annotated[str | None, typer.Option(help="The id of a question of a run (default: the first answered).")] = None,
    variant: Annotated[str | None, typer.Option(help="The variant of an experiment, with --id.")] = None,
    question: Annotated[str | None, typer.Option(help="The question about an image.")] = None,
    pages: Annotated[str | None, typer.Option(metavar="N", help="The page of a PDF or TIFF.")] = None,
    scorer: Annotated[
        str | None, typer.Option(help="NAME[:weight],...: scorers to draw instead of those it looks with.")
    ] = None,
    model: Annotated[str, typer.Option(help="The model that looks at an image, as in `saccade ask`.")] = "nano",
    output: Annotated[
        Path | None, typer.Option(help="The PNG (default: in RUN/show/, or for an image in this folder).")
    ] = None,
) -> None:
    """Draw where it looked, or what made it look there.

    {pictures}

    Example: saccade show page.png --question "What is the total?" --what saliency --scorer query,edges,variance
    """
    path = draw(
        target,
        what,
        output,
        question_id=id,
        variant=variant,
        question=question,
        pages=pages,
        scorer=scorer,
        model=model,
    )
    if target.is_dir() and (results_file(target) is None or id is not None or variant is not None):
        say(console, place(row(target, id, variant)))
    say(console, f"drawn in {path}")


show.__doc__ = (show.__doc__ or "").format(pictures="\n    ".join(f"{name}: {text}" for name, text in PICTURES.items()))
