"""`saccade analyze`: what the tokens of an image, a data set or a run hold, and where they went."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from pipelines.commands import options
from pipelines.commands.settings import asking, settings
from pipelines.reporting.subjects import UNASKED
from pipelines.runs import stored
from pipelines.runs.files import replaced
from pipelines.runs.provenance import provenance
from saccade.datasets import Row, open_dataset
from saccade.datasets import limit as limit_questions
from saccade.errors import ConfigError
from saccade.picture import Picture, suffixes
from saccade.studies import analysis
from saccade.studies.analysis_tables import report
from saccade.types import Question, Sample

console = Console()

LIMIT = 32  # questions of a data set
FIXATIONS, STOP_AT = 8, 2.0  # enough of them for a scanpath, and none left out because it is sure


def analyze(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(help="An image, a data set (`saccade list datasets`, or a path), or the folder of a run."),
    ],
    question: options.Question = None,
    data_path: options.DataPath = None,
    limit: Annotated[
        int,
        typer.Option(
            min=1, help="Questions of a data set at most: each is read 17 times.", rich_help_panel=options.DATA
        ),
    ] = LIMIT,
    page_px: options.PagePx = 1024,
    output: Annotated[Path, typer.Option(help="Folder for the pictures and analysis.json.")] = Path("analysis"),
    model: options.Model = "nano",
    device: options.Device = "auto",
    max_px: options.MaxPx = None,
    sampler: options.Sampler = "hybrid",
    scorer: options.Scorer = "query:0.3,edges:0.7",
    planner: options.PlannerName = "query",
    fixations: options.Fixations = FIXATIONS,
    tokens: options.Tokens = "273",
    set: options.Set = None,
) -> None:
    """Say in numbers what the tokens hold, what was looked at, and what leaving tokens out costs.

    Of an image or a data set: entropy of the tokens, what the question tells about them, the bottleneck,
    how alike patches are behind each block of the encoder, scanpaths beside those of people, tokens by
    eccentricity. Of a data set also, read by the model: accuracy with 1/16 to all of the tokens, the best
    kept, any kept, the best dropped, the image made smaller. Of a run: scanpaths and eccentricity, as stored.

    An image without --question has no numbers that depend on one. Ctrl-C gives what is done.

    Example: saccade analyze synthdoc --limit 32 --output analysis/synthdoc
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is a file: give a folder")
    given = options.given(context, *options.MODEL_OPTIONS, *options.EPISODE)
    made = settings(None, {"fixations": FIXATIONS, "stop_at": STOP_AT, "engine": "hf", **given}, set)
    data = options.given(context, *options.DATA_OPTIONS, "limit")
    found = _measured(target, made, data, given)
    for part in report(found.numbers):
        console.print(part, highlight=False)
    found.draw(output)
    with replaced(output / "analysis.json") as path:
        path.write_text(json.dumps({**found.numbers, **provenance()}, indent=1) + "\n")
    console.print(f"the pictures and analysis.json are in {output}", highlight=False, soft_wrap=True)
    if found.interrupted:
        raise KeyboardInterrupt("interrupted: the numbers are of what was done until then")


def _measured(target: str, made: dict[str, Any], data: dict[str, Any], given: dict[str, Any]) -> analysis.Found:
    """What the target is (a run, an image, a data set), measured with the settings `made`; `given`: those asked for."""
    path = Path(target).expanduser()
    if (path / "run.yaml").exists():
        if given:
            raise ConfigError(f"{target} is a run: it is analysed as it was done, without {', '.join(given)}")
        stored.check(path)
        return analysis.of_rows(str(path), stored.rows(path, cells=True))
    if path.is_file() and path.suffix.lower() in suffixes():
        if extra := data.keys() - {"question"}:
            raise ConfigError(f"{target} is an image, which does not go with {', '.join(sorted(extra))}")
        asked = "question" in data
        if not asked:
            made = {"planner": "saliency", "scorer": "edges", **made}  # those that no question changes
        looks, spec = asking(made)
        question = Question(path.stem, data["question"] if asked else UNASKED)
        return analysis.of_image(target, looks, spec, Sample(path.stem, Picture.open(path), (question,)), asked=asked)
    looks, spec = asking(made)
    dataset = open_dataset(target, **{key: value for key, value in data.items() if key != "limit"})
    rows = [row for row in limit_questions(dataset.rows(), data.get("limit", LIMIT)) if isinstance(row, Row)]
    progress = Console(stderr=True)
    quiet = len(rows) < 2 or not progress.is_terminal
    return analysis.of_dataset(target, looks, spec, dataset, track(rows, "images", console=progress, disable=quiet))
