"""`saccade batch` on its Ray graph against a loop in one process: the same rows, the same answers, questions a second.

    python -m tests.benchmarks.graph                        # about five minutes
    python -m tests.benchmarks.graph --pages 2 --ways ink   # does it run

Each way of looking answers the first question of every page, then eight: by the loop, by the graph, and by the loop
again, whose two rates bound how steady the machine was. A rate is of the time between the first image that is begun and
the last answers on the disk. Start-up is everything else that the command takes: Python, Ray, loading the model,
closing it. Writes results/graph.json beside this file.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.execute.in_process import answer_left
from pipelines.execute.run import batch
from pipelines.runs import stored
from pipelines.runs.config import RunConfig, identity
from pipelines.runs.provenance import provenance
from pipelines.runs.resume import locked_folder, select_left
from pipelines.runs.rows import ONE
from saccade.config import Episode
from saccade.machine import num_cpus

WAYS = {
    "full": Episode(sampler="full"),
    "default": Episode(),
    "default, again": Episode(reread=1.5, stop_at=0.9),
    "glimpse, then ink": Episode(
        glimpse=273, fixations=0, rest="all", encoder="ink", integrate="confident", stop_at=0.5
    ),
    "looks, 3 x 273": Episode(fixations=3),
}
SAME = ("answer", "visual_tok", "error")
"""Columns that are equal to the letter; confidences may differ in the last digits of a sum of another order."""


def loop(config: RunConfig) -> dict[str, float]:
    """The rows of a run by the loop in this process."""
    started, dataset = time.monotonic(), config.open_dataset()
    same, limit_px = identity(config, dataset)
    with locked_folder(config.output, same, resume=False) as folder, config.engine_spec().open() as engine:
        folder.begin(dataset, config.limit)
        select_left(folder, retry_errors=False)
        attempt, begun = folder.new_attempt(), time.monotonic()
        answer_left(folder, attempt, dataset, engine, {ONE: config.episode}, limit_px, Console(quiet=True))
    ended = time.monotonic()
    return {"seconds": ended - begun, "start_up_s": begun - started}


def graph(config: RunConfig) -> dict[str, float]:
    """The rows of a run by the graph, on a Ray session of its own."""
    started = time.monotonic()
    seconds = float(batch(config, Console(quiet=True))["seconds"])
    return {"seconds": seconds, "start_up_s": time.monotonic() - started - seconds}


def rows(config: RunConfig) -> dict[str, dict[str, Any]]:
    """What a run wrote, by question."""
    return {row["id"]: row for row in stored.rows(config.output)}


def compared(episode: Episode, dataset: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One way of looking, by the loop, the graph and the loop."""
    summaries, rows_of = {}, {}
    for name, run in (("before", loop), ("graph", graph), ("after", loop)):
        config = RunConfig(dataset=dataset, output=folder / name, episode=episode, engine={"device": "cpu"})
        summaries[name], rows_of[name] = run(config), rows(config)
    differing = [key for key, row in rows_of["before"].items() if any(row[c] != rows_of["graph"][key][c] for c in SAME)]
    questions = len(rows_of["before"])
    rates = {name: questions / each["seconds"] for name, each in summaries.items()}
    return {
        "questions": questions,
        "loop_questions_per_s": [rates["before"], rates["after"]],
        "graph_questions_per_s": rates["graph"],
        "ratio": rates["graph"] / ((rates["before"] + rates["after"]) / 2),
        "loop_start_up_s": summaries["after"]["start_up_s"],
        "graph_start_up_s": summaries["graph"]["start_up_s"],
        "differing_answers": len(differing) + len(rows_of["before"].keys() ^ rows_of["graph"].keys()),
    }


def main() -> None:
    """Measures, prints, writes the results file (only with the default number of pages and all ways)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=12)
    parser.add_argument("--page-px", type=int, default=1024, help="longer side of the pages")
    parser.add_argument("--ways", default=";".join(WAYS), help="some of them, separated by semicolons")
    parser.add_argument("--questions", default="1,8", help="per page, separated by commas")
    given = parser.parse_args()
    os.environ.setdefault("RAY_worker_niceness", "0")  # as nice as the loop, or what else runs here decides
    result: dict[str, Any] = {"pages": given.pages, "page_px": given.page_px, "cores": num_cpus(), "ways": {}}
    table = Table(
        "way", "questions/page", "loop q/s", "graph q/s", "ratio", "loop start s", "graph start s", "differing"
    )
    for name in given.ways.split(";"):
        for per_page in map(int, given.questions.split(",")):
            dataset = {
                "name": "synthdoc",
                "page_px": given.page_px,
                "num_pages": given.pages,
                "questions_per_page": per_page,
            }
            with tempfile.TemporaryDirectory() as folder:
                row = compared(WAYS[name], dataset, Path(folder))
            result["ways"].setdefault(name, {})[str(per_page)] = row
            before, after = row["loop_questions_per_s"]
            starts = [f"{row[f'{who}_start_up_s']:.1f}" for who in ("loop", "graph")]
            shown = [
                f"{before:.2f}, {after:.2f}",
                f"{row['graph_questions_per_s']:.2f}",
                f"{row['ratio']:.2f}",
            ]
            table.add_row(name, str(per_page), *shown, *starts, str(row["differing_answers"]))
    Console(width=140).print(table)
    if given.pages == parser.get_default("pages") and set(result["ways"]) == set(WAYS):
        path = Path(__file__).parent / "results" / "graph.json"
        path.write_text(json.dumps({**result, **provenance()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
