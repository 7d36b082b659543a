"""An experiment: its variants answer the same questions in this process; the table compares them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.execute.in_process import answer_left
from pipelines.execute.say import say
from pipelines.runs import manifest, stored
from pipelines.runs.config import checkpoint_max_px
from pipelines.runs.experiment import Experiment
from pipelines.runs.folder import RunFolder
from pipelines.runs.markdown import to_markdown
from pipelines.runs.provenance import provenance
from pipelines.runs.resume import locked_folder, select_left
from pipelines.runs.tables import flat, summarise
from saccade.config import Episode
from saccade.datasets import Dataset
from saccade.engines import EngineSpec, checkpoint
from saccade.errors import EngineDead
from saccade.families import fingerprint
from saccade.files import write_text
from saccade.wording import counted


def run_experiment(experiment: Experiment, output: Path, console: Console) -> dict[str, Any]:
    """Answers what is not answered yet, writes `results.json` and `table.md` into `output`, returns the results.

    Interrupted, it makes the table of the images so far, and the results say how many are left (`images_left`).

    Raises:
        ConfigError: a setting is wrong, or `output` holds another run.
        EngineDead: the engine is gone; what is done stays, and the same command goes on.
    """
    dataset, spec, variants = experiment.resolved()
    origin = {
        "experiment": experiment.dump(),
        "encoder": fingerprint(checkpoint(spec.model)),
        "data": dataset.fingerprint(),
    }
    with locked_folder(output, origin, resume=True) as folder:
        folder.begin(dataset, experiment.limit)
        if select_left(folder, retry_errors=False):
            _answer(folder, origin, dataset, spec, variants, experiment, console)
        rows = [flat(row) for row in stored.rows(output)] if any(folder.answers.glob("*.parquet")) else []
        results = summarise(rows, experiment)
        if experiment.heads is not None:
            for name, pages in experiment.trained_pages().items():
                results["variants"][name]["trained_pages"] = pages
        results |= {"title": experiment.title, **origin, **provenance()}
        if left := select_left(folder, retry_errors=False):
            results["images_left"] = left
        write_text(folder.results_json, json.dumps(results, indent=1) + "\n")
        write_text(folder.table_md, to_markdown(results))
    return results


def _answer(
    folder: RunFolder,
    origin: Mapping[str, Any],
    dataset: Dataset,
    spec: EngineSpec,
    variants: Mapping[str, Episode],
    experiment: Experiment,
    console: Console,
) -> None:
    """One attempt at what is left, in this process."""
    limit_px, attempt = spec.max_px or checkpoint_max_px(checkpoint(spec.model)), folder.new_attempt()
    settings = {"dataset": dataset.spec(), "engine": spec.spec(), "max_px": limit_px}
    settings["variants"] = {name: episode.dump() for name, episode in variants.items()}
    folder.write_yaml({**settings, **provenance(), "attempt": attempt, "identity": dict(origin)})
    say(console, _planned(folder, len(variants)))
    try:
        with spec.open() as engine:
            answer_left(
                folder, attempt, dataset, engine, variants, limit_px, console, experiment.timed, experiment.memory
            )
    except KeyboardInterrupt:
        num_done = sum(1 for _ in folder.answers.glob("*.parquet"))
        of_all = counted(manifest.num_images(folder.manifest), "image")
        say(
            console,
            f"interrupted after {num_done:,} of {of_all}: the table is of those; "
            f"the same command goes on in {folder.path}",
        )
    except EngineDead as error:
        raise EngineDead(f"{error}. The same command goes on in {folder.path}") from error


def _planned(folder: RunFolder, ways: int) -> str:
    """What an attempt is about to do, said before the model is loaded: nobody knows yet how fast it is."""
    images, questions = manifest.num_images(folder.left), manifest.num_questions(folder.left)
    all_of_it = f"{counted(images, 'image')}, {counted(questions, 'question')}"
    return (
        f"{all_of_it} in {counted(ways, 'way')}: {counted(questions * ways, 'answer')}"
        + "; how long they take is said when the first image is answered in every way" * (images > 1)
    )
