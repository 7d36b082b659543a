"""`saccade levels`: what each level of the image pyramid contributes."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands import options
from pipelines.commands.settings import asking, settings
from pipelines.runs.provenance import provenance
from saccade.datasets import open_dataset
from saccade.errors import ConfigError
from saccade.picture import Picture, suffixes
from saccade.studies.levels import over, reports
from saccade.types import Question


def levels(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="An image, or a data set with answers (a name or a path).")],
    question: options.Question = None,
    data_path: options.DataPath = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Questions of a data set at most.", rich_help_panel=options.DATA)
    ] = 100,
    page_px: options.PagePx = 1024,
    output: Annotated[Path | None, typer.Option(help="Where a data set's numbers go (JSON).")] = None,
    model: options.Model = "nano",
    device: options.Device = "auto",
    sampler: options.Sampler = "pyramid",
    scorer: options.Scorer = "query:0.3,edges:0.7",
    fixations: options.Fixations = 1,
    tokens: options.Tokens = "273",
    levels: options.Levels = 4,
    set: options.Set = None,
) -> None:
    """Say what each level of the pyramid holds, what was taken of it, and what it contributed to the answer.

    Of a data set: means over its questions, with intervals.

    Example: saccade levels page.png --question "What is the total?" --set sampler.order=fine_first
    """
    chosen = {"sampler": sampler, "fixations": fixations, "levels": levels, "engine": "hf"}
    given = options.given(context, "model", "device", "scorer", "tokens")
    looks, spec = asking(settings(None, {**chosen, **given}, set))
    data = options.given(context, *options.DATA_OPTIONS, "limit")
    path = Path(target).expanduser()
    if path.is_file() and path.suffix.lower() in suffixes():
        if not question or data.keys() - {"question"}:
            raise ConfigError(f"{target} is an image: give --question, and no option of a data set")
        with spec.open() as engine:
            for _, report in reports(looks, engine, Picture.open(path), [Question("asked", question)]):
                typer.echo(report.text())
        return
    own: dict[str, Any] = {key: value for key, value in data.items() if key != "limit"}
    dataset = open_dataset(target, **own)
    with spec.open() as engine:
        found = over(looks, engine, dataset, limit)
    text = json.dumps({**found, "settings": looks.dump(), "provenance": provenance()}, indent=1)
    if output is None:
        typer.echo(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text + "\n")
    typer.echo(f"{found['questions']} questions on {found['pages']} pages: {output}")
