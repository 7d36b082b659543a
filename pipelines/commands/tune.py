"""`saccade tune`: the mix of scorers and the ratio that read best on one's own questions."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from pipelines.commands.options import takes
from pipelines.commands.settings import episode_and_engine
from pipelines.commands.train import OWN_PAGES
from pipelines.execute.in_process import answer, collect
from pipelines.runs.config import Data, Looking
from pipelines.runs.provenance import provenance
from saccade.config import Episode
from saccade.datasets import Dataset, Row, digest, limit, open_dataset
from saccade.engines import Engine, EngineSpec, checkpoint
from saccade.families import fingerprint
from saccade.files import write_text
from saccade.registry import checked
from saccade.training.tuning import NOW, TuneSettings, best, gained, halves, summary, trials

console = Console(stderr=True)

SETTINGS, RESULTS = "tuned.yaml", "results.json"


@takes(
    Data,
    Looking,
    TuneSettings,
    leave_out=("dataset", "scorer", "sampler"),
    defaults={"limit": 256, "fixations": 1, "tokens": 100, "engine": "hf"},
)
def tune(
    target: Annotated[str, typer.Argument(metavar="DATASET", help="Data set with answers: a name or a path.")],
    output: Annotated[Path, typer.Option(help="Folder for tuned.yaml, results.json and the answers.")],
    *,
    settings: dict[str, Any],
) -> None:
    """Tune the weights of a mix of scorers and the ratio of hybrid on your own questions with answers.

    Half of the pages decide. The gain is reported on the other half, with an interval, even if there is none.
    OUTPUT/tuned.yaml holds the settings, for --config of ask, batch and serve.

    If interrupted, the same command resumes it.

    Example: saccade tune questions.jsonl --tokens 100 --scorers query,edges,late --output runs/tuned
    """
    num_questions, data = settings.pop("limit"), settings.pop("dataset", {})
    own = {name: settings.pop(name) for name in TuneSettings.model_fields if name in settings}
    tuning = checked(TuneSettings, own)
    looks, spec = episode_and_engine(settings)
    given = {key: value for key, value in data.items() if key != "name"}
    dataset = open_dataset(target, **(OWN_PAGES | given if target == "synthdoc" else given))
    rows = [row for row in limit(dataset.rows(), num_questions) if isinstance(row, Row)]
    report = run_tuning(tuning, looks, spec, dataset, rows, output, console)
    typer.echo(summary(report))
    typer.echo(f"{output / SETTINGS}")


def run_tuning(
    tuning: TuneSettings, looks: Episode, spec: EngineSpec, dataset: Dataset, rows: list[Row], output: Path,
    console: Console,
) -> dict[str, Any]:  # fmt: skip
    """Answers what is not answered yet, writes the settings and the results into `output`, returns the results.

    Raises:
        ConfigError: a setting is wrong, `output` holds another tuning, or there is too little to decide by.
        KeyboardInterrupt: interrupted; what is answered stays.
    """
    ways = trials(tuning, looks)
    deciding, reported = halves(rows, tuning.seed)
    origin = {
        "tuning": tuning.dump(), "looks": looks.dump(), "weights": fingerprint(checkpoint(spec.model)),
        "engine": digest(spec.identity()),
        "data": dataset.fingerprint(), "questions": sum(len(row.questions) for row in rows),
    }  # fmt: skip
    with spec.open() as engine:
        episodes = {name: looks.with_settings(**changes) for name, changes in ways.items()}
        lines = collect(output, origin, deciding, partial(_lines, dataset, engine, episodes), console)
        _whole(lines, deciding, output)
        chosen, means = best(lines, list(ways))
        two = {name: episodes[name] for name in dict.fromkeys((NOW, chosen))}
        folder = output / "held_out"
        held_out = collect(
            folder, {**origin, "chosen": chosen}, reported, partial(_lines, dataset, engine, two), console
        )
        _whole(held_out, reported, output)
    report = {"best": chosen, **gained(held_out, chosen), "tried": means, **origin, **provenance()}
    write_text(output / RESULTS, json.dumps(report, indent=1) + "\n")
    changed = {name: value for name, value in episodes[chosen].dump().items() if value != Episode().dump()[name]}
    text = "".join(f"# {line}\n" for line in summary(report).splitlines())
    write_text(output / SETTINGS, text + yaml.safe_dump(changed, sort_keys=False))
    return report


def _lines(dataset: Dataset, engine: Engine, ways: dict[str, Episode], row: Row) -> list[dict[str, Any]]:
    """The answers of all ways of looking to one image's questions, one dict per answer."""
    rows = answer(row, dataset, engine, ways, engine.family.limit_px, lambda: None)
    columns = ("variant", "id", "image_id", "score", "visual_tok", "answer", "error")
    lines = [{name: each.get(name) for name in columns} | {"last": False} for each in rows]
    lines[-1]["last"] = True
    return lines


def _whole(lines: list[dict[str, Any]], rows: list[Row], output: Path) -> None:
    """Raises KeyboardInterrupt if pages are missing: some of the pages might choose otherwise than all of them."""
    if len({line["image_id"] for line in lines}) < len(rows):
        raise KeyboardInterrupt(f"interrupted: the same command goes on in {output}")
