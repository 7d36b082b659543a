"""`saccade analyze`: information in the tokens of an image, a data set or a run, and where looks went."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from pipelines.commands.options import takes
from pipelines.commands.settings import episode_and_engine, refuse_of_data
from pipelines.execute.say import say
from pipelines.reporting.subjects import UNASKED
from pipelines.runs import stored
from pipelines.runs.config import Data, Looking
from pipelines.runs.provenance import provenance
from saccade.analysis.human_scanpaths import Paths, read_people
from saccade.datasets import Row, limit, open_dataset
from saccade.decoding.pages import one_page
from saccade.errors import ConfigError
from saccade.files import replaced
from saccade.picture import Picture, naming, suffixes
from saccade.studies import analysis
from saccade.studies.analysis_tables import report
from saccade.types import Question, Sample

console = Console()


@takes(
    Data,
    Looking,
    leave_out=("dataset",),
    defaults={"sampler": "hybrid", "limit": 32, "fixations": 8, "stop_at": 2.0, "engine": "hf"},
)
def analyze(
    target: Annotated[
        str, typer.Argument(help="An image, a data set (`saccade list datasets`, or a path), or the folder of a run.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the pictures and analysis.json.")] = Path("analysis"),
    people: Annotated[
        Path | None,
        typer.Option(help="People's scanpaths of the images: JSON Lines (image, gazes_uv), or SALICON's fixations/."),
    ] = None,
    *,
    settings: dict[str, Any],
    given: dict[str, Any],
) -> None:
    """Measure the information in the tokens, where looks went, and what leaving tokens out costs.

    Of an image or a data set: entropy of the tokens, information in the question, the bottleneck,
    similarity of patches after each block of the encoder, scanpaths beside those of people, tokens by
    eccentricity. Of a data set also, read by the model: accuracy with 1/16 to all of the tokens, keeping the
    best, random ones, the worst, or a smaller image. Of a run: scanpaths and eccentricity, as stored.

    For an image without --question, numbers that depend on a question are left out. Ctrl-C reports what is done.

    Example: saccade analyze synthdoc --limit 32 --output analysis/synthdoc
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is a file: give a folder")
    measured = _measured(target, settings, given, {} if people is None else read_people(people))
    for part in report(measured.numbers):
        console.print(part, highlight=False)
    measured.draw(output)
    with replaced(output / "analysis.json") as path:
        path.write_text(json.dumps({**measured.numbers, **provenance()}, indent=1) + "\n")
    say(console, f"analysis.json is in {output}, with the pictures of what was measured")
    if measured.interrupted:
        raise KeyboardInterrupt("interrupted: the numbers are of what was done until then")


def _measured(target: str, settings: dict[str, Any], given: dict[str, Any], people: Paths) -> analysis.Measured:
    """Measures the target: a run, an image or a data set. `given`: options from the command line."""
    path, num_questions = Path(target).expanduser(), settings.pop("limit")
    data = settings.pop("dataset", {})
    if (path / "run.yaml").exists():
        if given:
            raise ConfigError(f"{target} is a run: it is analysed as it was done, without {', '.join(given)}")
        stored.check(path)
        return analysis.of_rows(str(path), stored.rows(path, cells=True), people)
    if path.is_file() and path.suffix.lower() in suffixes():
        refuse_of_data(target, given)
        asked = given.get("question") is not None
        if not asked:
            settings = {"planner": "saliency", "scorer": "edges", **settings}  # neither depends on the question
        episode, spec = episode_and_engine(settings)
        question = Question(path.stem, given["question"] if asked else UNASKED)
        sample = Sample(path.stem, Picture.open(path, page=one_page(given.get("pages"))), (question,))
        with naming(path):
            return analysis.of_image(target, episode, spec, sample, asked=asked, people=people)
    episode, spec = episode_and_engine(settings)
    dataset = open_dataset(target, **{key: value for key, value in data.items() if key != "name"})
    rows = [row for row in limit(dataset.rows(), num_questions) if isinstance(row, Row)]
    progress = Console(stderr=True)
    quiet = len(rows) < 2 or not progress.is_terminal
    shown = track(rows, "images", console=progress, disable=quiet)
    return analysis.of_dataset(target, episode, spec, dataset, shown, people)
