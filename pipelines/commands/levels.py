"""`saccade levels`: the contribution of each level of the image pyramid."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.options import takes
from pipelines.commands.settings import episode_and_engine, refuse_of_data
from pipelines.runs.config import Data, Looking
from pipelines.runs.provenance import provenance
from saccade.datasets import open_dataset
from saccade.decoding.pages import one_page
from saccade.errors import ConfigError
from saccade.files import write_text
from saccade.picture import Picture, naming, suffixes
from saccade.studies.levels import memory, over, reports
from saccade.types import Question
from saccade.wording import counted


@takes(
    Data,
    Looking,
    leave_out=("dataset",),
    defaults={"limit": 100, "sampler": "pyramid", "fixations": 1, "levels": 4, "engine": "hf"},
)
def levels(
    target: Annotated[str, typer.Argument(help="An image, or a data set with answers (a name or a path).")],
    output: Annotated[Path | None, typer.Option(help="JSON file for the numbers of a data set.")] = None,
    *,
    settings: dict[str, Any],
    given: dict[str, Any],
) -> None:
    """Report the tokens of each level of the pyramid, those kept, and what they contributed to the answer.

    For a data set: means over its questions, with intervals.

    Example: saccade levels page.png --question "What is the total?" --set sampler.order=fine_first
    """
    num_questions, data = settings.pop("limit"), settings.pop("dataset", {})
    looks, spec = episode_and_engine(settings)
    path, question = Path(target).expanduser(), given.get("question")
    if path.is_file() and path.suffix.lower() in suffixes():
        if not question:
            raise ConfigError(f"{target} is an image: give --question 'What is the total?'")
        refuse_of_data(target, given if output is None else {**given, "output": output})
        picture = Picture.open(path, page=one_page(given.get("pages")))
        with naming(path), spec.open() as engine:
            for _, report in reports(looks, engine, picture, [Question("asked", question)]):
                typer.echo(report.text())
                every, apart = memory(looks, engine, picture, [level.selected for level in report.levels])
                typer.echo(f"{every / 1e6:.1f} MB with all levels encoded at once, {apart / 1e6:.1f} MB level by level")
        return
    dataset = open_dataset(target, **{key: value for key, value in data.items() if key != "name"})
    with spec.open() as engine:
        numbers = over(looks, engine, dataset, num_questions)
    text = json.dumps({**numbers, "settings": looks.dump(), "provenance": provenance()}, indent=1)
    if output is None:
        typer.echo(text)
        return
    write_text(output, text + "\n")
    for error in numbers["errors"]:
        typer.echo(f"left out: {error}", err=True)
    typer.echo(f"{counted(numbers['questions'], 'question')} on {counted(numbers['pages'], 'page')}: {output}")
