"""`saccade analyze`: what the tokens of an image, a data set or a run hold, and where they went (A1 to A8)."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines import options

console = Console()

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
    ] = 32,
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
    import json

    from pipelines import analysis_facts as facts
    from pipelines.analysis_tables import report
    from pipelines.files import replaced
    from pipelines.provenance import provenance
    from saccade.errors import ConfigError

    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is a file: give a folder")
    given = options.given(context, *options.MODEL_OPTIONS, *options.EPISODE)
    made = options.settings(None, {"fixations": FIXATIONS, "stop_at": STOP_AT, "engine": "hf", **given}, set)
    data = options.given(context, *options.DATA_OPTIONS, "limit")
    found = facts.of_target(target, made, data, given, Console(stderr=True))
    for part in report(found.numbers):
        console.print(part, highlight=False)
    found.draw(output)
    with replaced(output / "analysis.json") as path:
        path.write_text(json.dumps({**found.numbers, **provenance()}, indent=1) + "\n")
    console.print(f"the pictures and analysis.json are in {output}", highlight=False, soft_wrap=True)
    if found.interrupted:
        raise KeyboardInterrupt("interrupted: the numbers are of what was done until then")
