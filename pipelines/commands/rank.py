"""`saccade rank`: which scorer, sampler and planner show where the answer is, with no answer read."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipelines.commands import options
from pipelines.execute.local import collect
from pipelines.runs.engine import settled
from pipelines.runs.provenance import provenance
from saccade.datasets import Dataset, Skip, open_dataset
from saccade.datasets import limit as limit_questions
from saccade.engines import choose_engine
from saccade.engines.hf import checkpoint
from saccade.families import fingerprint
from saccade.registry import load
from saccade.studies.ranking import Ranking, Ways, looks_of_page, scorers_by_default, to_markdown
from saccade.studies.ranking import rank as rank_rows

console = Console()

SHOWN = 25  # combinations on the screen; all are in table.md

Names = Annotated[str | None, typer.Option(metavar="A,B,...", help="Instead of all (`saccade list`).")]


def rank(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="Folder for rows.jsonl, results.json and table.md.")],
    dataset: Annotated[str, typer.Option(help="A name or a path, with answer boxes.")] = "synthdoc",
    data_path: Annotated[Path | None, typer.Option(help="Where the named data set lies.")] = None,
    page_px: Annotated[int, typer.Option(min=256, help="Longest side of generated pages (synthdoc).")] = 1024,
    limit: Annotated[int, typer.Option(min=1, help="Questions at most.")] = 64,
    scorers: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Instead of all; a mix is query:0.3+edges:0.7.")
    ] = None,
    samplers: Names = None,
    planners: Names = None,
    tokens: Annotated[int, typer.Option(min=1, help="Visual tokens per look.")] = 273,
    model: Annotated[str, typer.Option(help="Whose encoder sees the pages.")] = "nano",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Rank every scorer x sampler x planner by what their looks show of the answer, with no language model.

    Three measures: how much of the answer boxes the looks show, how often the first gaze meets one, and how many
    tokens it takes to show 95 %.

    Interrupted, it makes the table of what is done, and goes on when started again with the same --output.

    Example: saccade rank --limit 16 --scorers query,edges --samplers topk,hybrid --output runs/coverage
    """
    sized = "page_px" in options.given(context, "page_px") or dataset == "synthdoc"  # others draw no pages
    data = open_dataset(dataset, data_path=data_path, page_px=page_px if sized else None)
    named = {"scorers": scorers, "samplers": samplers, "planners": planners}
    chosen = Ranking(
        dataset=data.spec(),
        engine={"model": model, "device": device},
        tokens=tokens,
        limit=limit,
        **{key: value.split(",") for key, value in named.items() if value},
    )
    table = to_markdown(run_ranking(chosen, output, console), SHOWN)
    console.print(table, highlight=False, markup=False, soft_wrap=True)


def run_ranking(chosen: Ranking, output: Path, console: Console) -> dict[str, Any]:
    """Looks at what is not looked at yet, writes `results.json` and `table.md` into `output`, returns the results.

    Raises:
        ConfigError: a setting is wrong, `output` holds another run, or no question has answer boxes.
    """
    spec = settled(choose_engine({**chosen.engine, "name": "hf"}), here=True)
    dataset, ways = load("datasets", chosen.dataset, Dataset), Ways(chosen)
    encoder = fingerprint(checkpoint(spec.model))
    origin = {"coverage": chosen.dump(), "encoder": encoder, "data": dataset.fingerprint()}
    images = [row for row in limit_questions(dataset.rows(), chosen.limit) if not isinstance(row, Skip)]
    with spec.open_encoder() as opened:
        rows = collect(
            output, origin, images, lambda row: looks_of_page(row, dataset, opened, ways, chosen.tokens), console
        )
    results = {**rank_rows(rows), "tokens": chosen.tokens, "left_out": scorers_by_default()[1]}
    results |= {**origin, **provenance()}
    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (output / "table.md").write_text(to_markdown(results))
    return results
