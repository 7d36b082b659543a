"""`saccade experiment`: several ways of looking on the same questions, as one table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipelines import options

console = Console()

COVERAGE_OPTIONS = ("dataset", "data_path", "page_px", "scorers", "samplers", "planners", "tokens", "model", "device")
COVERAGE = "Of `saccade experiment coverage` only"
SHOWN = 25  # combinations on the screen; all are in table.md

Names = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="Instead of all (`saccade list`).", rich_help_panel=COVERAGE)
]


def experiment(
    context: typer.Context,
    configuration: Annotated[
        str, typer.Argument(help="A YAML file, or the name of one in configs/experiments/, or: coverage.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for rows.jsonl, results.json and table.md.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Questions at most, instead of the file's; coverage: 64.")
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="A name or a path, with answer boxes.", rich_help_panel=COVERAGE)
    ] = "synthdoc",
    data_path: Annotated[
        Path | None, typer.Option(help="Where the named data set lies.", rich_help_panel=COVERAGE)
    ] = None,
    page_px: Annotated[
        int, typer.Option(min=256, help="Longest side of generated pages (synthdoc).", rich_help_panel=COVERAGE)
    ] = 1024,
    scorers: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Instead of all; a mix is query:0.3+edges:0.7.", rich_help_panel=COVERAGE),
    ] = None,
    samplers: Names = None,
    planners: Names = None,
    tokens: Annotated[int, typer.Option(min=1, help="Visual tokens a look.", rich_help_panel=COVERAGE)] = 273,
    model: Annotated[str, typer.Option(help="Whose encoder sees the pages.", rich_help_panel=COVERAGE)] = "nano",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...", rich_help_panel=COVERAGE)] = "auto",
) -> None:
    """Compare ways of looking on the same questions, as one table with intervals.

    `coverage` needs no language model: it ranks every scorer x sampler x planner by how much of the answer
    boxes their looks show, how often the first gaze meets one, and how many tokens it takes to show 95 %.

    Interrupted, it makes the table of what is done, and goes on when started again with the same --output.

    Examples: saccade experiment looks --output runs/looks

    saccade experiment coverage --limit 16 --scorers query,edges --samplers topk,hybrid --output runs/coverage
    """
    given = options.given(context, *COVERAGE_OPTIONS)
    if configuration == "coverage":
        table = _ranked(context.params, "page_px" in given, output)
    else:
        table = _compared(configuration, output, limit, list(given))
    console.print(table, highlight=False, markup=False, soft_wrap=True)


def _compared(configuration: str, output: Path, limit: int | None, misplaced: list[str]) -> str:
    from pipelines.experiments import find_experiment, read_experiment, run_experiment
    from pipelines.tables import to_markdown
    from saccade.errors import ConfigError

    chosen = read_experiment(find_experiment(configuration))
    if misplaced:
        named = ", ".join(f"--{key.replace('_', '-')}" for key in misplaced)
        raise ConfigError(f"{named}: of `experiment coverage` only; {configuration} says so itself")
    if limit is not None:
        chosen = chosen.with_settings(limit=limit)
    return to_markdown(run_experiment(chosen, output, console))


def _ranked(made: Mapping[str, Any], sized: bool, output: Path) -> str:
    from pipelines.coverage import Coverage, run_coverage, to_markdown
    from saccade.datasets import open_dataset

    page_px = made["page_px"] if sized or made["dataset"] == "synthdoc" else None  # others draw no pages
    dataset = open_dataset(made["dataset"], data_path=made["data_path"], page_px=page_px)
    chosen: dict[str, Any] = {"engine": {key: made[key] for key in ("model", "device")}, "tokens": made["tokens"]}
    chosen |= {key: made[key].split(",") for key in ("scorers", "samplers", "planners") if made[key]}
    if made["limit"] is not None:
        chosen["limit"] = made["limit"]
    return to_markdown(run_coverage(Coverage(dataset=dataset.spec(), **chosen), output, console), SHOWN)
