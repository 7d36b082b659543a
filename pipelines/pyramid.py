"""The pyramid's diagnostic report (P6), for one picture and question or as means over a data set (X11).

    python -m pipelines.pyramid page.png "What is the total?" --levels 4 --set sampler.order=fine_first
    python -m pipelines.pyramid --dataset synthdoc --limit 100 --levels 4 --output results/levels.json

Each level's contribution is measured: the kept tokens are read again without that level, and with that level alone.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines import options
from pipelines.exits import expected
from saccade.analysis.pyramid import PyramidReport, pyramid_report, read_value
from saccade.config import Episode
from saccade.datasets import Dataset, Row, limit, open_dataset
from saccade.engines import Engine
from saccade.episode import episodes, run, see
from saccade.errors import ConfigError, SaccadeError
from saccade.metrics.bootstrap import bootstrap_mean
from saccade.picture import Picture
from saccade.types import Question, Scene, Trace

app = typer.Typer(add_completion=False, help=__doc__)


def reports(
    settings: Episode, engine: Engine, picture: Picture, questions: list[Question], *, bands: bool = True
) -> Iterator[tuple[Question, PyramidReport]]:
    """The report of every question of one picture that could be answered; each on a canvas of its own.

    Raises:
        ConfigError: the episode has no levels to report on.
        SaccadeError: the picture or a question cannot be used.
    """
    if settings.view != "foveate" or settings.shared:
        raise ConfigError("a pyramid's report is of one question's looks: a sampler, and --canvas private")
    seen = see(settings, engine, picture, questions)
    for outcome, (question, query) in zip(run(episodes(settings, seen), engine), seen.asked, strict=True):
        if not isinstance(outcome, Trace):
            raise outcome
        assert not isinstance(query, SaccadeError)  # or the outcome were an error
        importance = settings.strategies.score(Scene.of([(picture, seen.encoding, query)]))[0]
        value = read_value(seen, question, engine)
        pixels = picture.rgb if bands else None
        yield question, pyramid_report(seen.encoding.grid, importance, outcome.shown, pixels=pixels, value=value)


def over(settings: Episode, engine: Engine, dataset: Dataset, num_questions: int) -> dict[str, Any]:
    """Means over a data set's questions with bootstrap intervals that resample pages: tokens, ANLS, contributions."""
    pages: list[str] = []
    found: list[PyramidReport] = []
    for row in limit(dataset.rows(), num_questions):
        if not isinstance(row, Row):
            continue  # skipped: a line without a question
        sample = dataset.sample(row)
        questions = [question for question in sample.questions if question.error is None and question.answers]
        for _, report in reports(settings, engine, sample.picture, questions, bands=False):
            pages.append(sample.image_id)
            found.append(report)
    height = max((len(report.levels) for report in found), default=0)
    levels = []
    for level in range(height):
        here = [report.levels[level] if level < len(report.levels) else None for report in found]
        columns = {
            name: _mean([None if one is None else getattr(one, name) for one in here], pages)
            for name in ("tokens", "selected", "saliency_mean", "alone", "contribution")
        }
        levels.append({"level": level, **columns})
    value = _mean([report.value for report in found], pages)
    return {"questions": len(found), "pages": len(set(pages)), "anls": value, "levels": levels}


def _mean(values: list[Any], pages: list[str]) -> dict[str, float | None] | None:
    mean = bootstrap_mean([None if value is None else float(value) for value in values], pages)
    return None if mean is None else {"mean": mean.mean, "low": mean.low, "high": mean.high}


@app.command()
def main(
    context: typer.Context,
    image: Annotated[Path | None, typer.Argument(help="The picture.")] = None,
    question: Annotated[str, typer.Argument(help="The question about it.")] = "",
    dataset: Annotated[str | None, typer.Option(help="Instead: a data set with answers.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Questions of the data set at most.")] = 100,
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
    """Says what each level of the pyramid holds, what was taken of it, and what it contributed to the answer."""
    from pipelines.provenance import provenance
    from pipelines.resolve import asking

    chosen = {"sampler": sampler, "fixations": fixations, "levels": levels, "engine": "hf"}
    given = options.given(context, "model", "device", "scorer", "tokens")
    try:
        settings, spec = asking(options.settings(None, {**chosen, **given}, set))
        if (dataset is None) == (image is None):
            raise ConfigError("give a picture with a question, or --dataset")
        with spec.open() as engine:
            if image is not None:
                for _, report in reports(settings, engine, Picture.open(image), [Question("asked", question)]):
                    typer.echo(report.text())
                return
            own: dict[str, Any] = {"page_px": page_px} if dataset == "synthdoc" else {}
            found = over(settings, engine, open_dataset(str(dataset), **own), limit)
    except SaccadeError as error:
        typer.echo(expected(error) or str(error), err=True)
        raise typer.Exit(2) from error
    text = json.dumps({**found, "settings": settings.dump(), "provenance": provenance()}, indent=1)
    if output is None:
        typer.echo(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text + "\n")
    typer.echo(f"{found['questions']} questions on {found['pages']} pages: {output}")


if __name__ == "__main__":
    app()
