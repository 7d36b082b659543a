"""`saccade show`: what a run did, as pictures."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.reporting.subjects import show as draw
from pipelines.runs.stored import place, results_file, row

console = Console()


def show(
    target: Annotated[
        Path, typer.Argument(help="Folder of a `saccade batch` or `saccade experiment`, or an image.", exists=True)
    ],
    what: Annotated[
        str,
        typer.Option(
            metavar="PICTURE",
            help="trace, allocation, saliency, homunculus, similarity, pyramid, print-size, rate-distortion.",
        ),
    ] = "trace",
    id: Annotated[str | None, typer.Option(help="Which question of a run (default: the first answered).")] = None,
    variant: Annotated[str | None, typer.Option(help="Which way of looking of an experiment, with --id.")] = None,
    question: Annotated[str | None, typer.Option(help="What to ask of an image.")] = None,
    scorer: Annotated[
        str | None, typer.Option(help="NAME[:weight],...: other scorers than those it looks with.")
    ] = None,
    model: Annotated[str, typer.Option(help="What an image is looked at with, as in `saccade ask`.")] = "nano",
    output: Annotated[
        Path | None, typer.Option(help="The PNG (default: in RUN/show/, or beside you for an image).")
    ] = None,
) -> None:
    """Draw where it looked, or what made it look there.

    trace: the kept tokens, the gazes in order, what was read.
    allocation: the picture, its importance, the kept tokens.
    saliency: every scorer of the mix beside the mix.
    homunculus: the page, each part as large as it matters.
    similarity: how alike the tokens are, and where.
    pyramid: the picture by scale.
    print-size: the letters whose height is measured, and the page as small as it is shown.
    rate-distortion: accuracy against tokens, of an experiment, or of a run after each of its looks.

    Example: saccade show page.png --question "What is the total?" --what saliency --scorer query,edges,variance
    """
    path = draw(target, what, output, question_id=id, variant=variant, question=question, scorer=scorer, model=model)
    if target.is_dir() and (results_file(target) is None or id is not None or variant is not None):
        console.print(place(row(target, id, variant)), markup=False, highlight=False, soft_wrap=True)
    console.print(f"drawn in {path}", highlight=False, soft_wrap=True)
