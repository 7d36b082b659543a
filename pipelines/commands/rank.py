"""`saccade rank`: scorers, samplers and planners ranked by how soon they show the answer, without reading it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field
from rich.console import Console

from pipelines.commands.options import takes
from pipelines.execute.in_process import collect
from pipelines.execute.say import say
from pipelines.runs.config import Data, Model
from pipelines.runs.engine import settled
from pipelines.runs.provenance import provenance
from saccade.datasets import Dataset, Skip, limit, open_dataset
from saccade.engines import checkpoint, choose_engine
from saccade.families import fingerprint, own_gaze
from saccade.files import write_text
from saccade.registry import checked, load, named
from saccade.studies.ranking import Candidates, Ranking, left_out, looks_of_page, to_markdown
from saccade.studies.ranking import rank as rank_rows

console = Console()

SHOWN = 25  # combinations on the screen; all are in table.md


class RankConfig(Data, Model, Ranking):
    """Settings of a ranking: the candidates, the pages, and the model whose encoder sees them."""

    limit: int = Field(64, ge=1, description="Questions at most: the first ones, image by image.")


@takes(RankConfig, leave_out=("engine",))
def rank(
    output: Annotated[Path, typer.Option(help="Folder for rows.jsonl, results.json and table.md.")],
    *,
    settings: dict[str, Any],
) -> None:
    """Rank every scorer x sampler x planner by what their looks show of the answer, with no language model.

    Three measures: the share of the answer boxes shown, how often the first gaze hits one, and the tokens
    needed to show 95 % of them.

    If interrupted, it writes the table of the finished pages; the same command with the same --output resumes.

    Example: saccade rank --limit 16 --scorers query,edges --samplers topk,hybrid --output runs/ranking
    """
    data = named("dataset", settings.get("dataset", "synthdoc"))
    chosen = checked(RankConfig, {**settings, "dataset": open_dataset(data.pop("name"), **data).spec()})
    table = to_markdown(run_ranking(chosen, output, console), SHOWN)
    say(console, table)


def run_ranking(chosen: RankConfig, output: Path, console: Console) -> dict[str, Any]:
    """Looks at the remaining pages, writes `results.json` and `table.md` into `output`, returns the results.

    Raises:
        ConfigError: a setting is wrong, `output` holds another run, or no question has answer boxes.
    """
    spec = settled(choose_engine({**chosen.engine, "name": "hf"}), here=True)
    candidates = Candidates(chosen, own_gaze(checkpoint(spec.model)))
    dataset = load("datasets", chosen.dataset, Dataset)
    origin = {
        "coverage": chosen.dump(),
        "encoder": fingerprint(checkpoint(spec.model)),
        "data": dataset.fingerprint(),
    }
    images = [row for row in limit(dataset.rows(), chosen.limit) if not isinstance(row, Skip)]
    with spec.open_encoder() as encoder:
        rows = collect(
            output, origin, images, lambda row: looks_of_page(row, dataset, encoder, candidates, chosen.tokens), console
        )
    results = {**rank_rows(rows), "tokens": chosen.tokens, "left_out": left_out(candidates)}
    results |= {**origin, **provenance()}
    write_text(output / "results.json", json.dumps(results, indent=1) + "\n")
    write_text(output / "table.md", to_markdown(results))
    return results
