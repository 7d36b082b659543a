"""`saccade experiment`: several ways of looking, on the same questions, in one process, as one table.

A configuration names a data set and the variants; every variant answers every question. An image is encoded once for
all variants that encode it alike. Finished images are in `DIR/rows.jsonl`: an interrupted experiment goes on there.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.runs.experiment import Experiment
from pipelines.runs.provenance import provenance
from pipelines.runs.tables import summarise, to_markdown
from saccade.config import Episode
from saccade.datasets import Dataset, Row, Skip, limit
from saccade.engines import Encoder, Engine, ForwardingEncoder
from saccade.engines.hf import checkpoint
from saccade.episode import Outcome, episodes, run, see
from saccade.errors import DataError, ResumeRefused, describe
from saccade.families import Prepared, fingerprint
from saccade.metrics.anls import anls
from saccade.metrics.coverage import coverage
from saccade.metrics.exact import exact
from saccade.picture import Picture
from saccade.types import Encoding, Grid, Question, Sample, Trace


def run_experiment(experiment: Experiment, output: Path, console: Console) -> dict[str, Any]:
    """Answers what is not answered yet, writes `results.json` and `table.md` into `output`, returns the results.

    Raises:
        ConfigError: a setting is wrong, or `output` holds another experiment.
    """
    dataset, spec, variants = experiment.opened()
    origin = {
        "experiment": experiment.dump(),
        "encoder": fingerprint(checkpoint(spec.model)),
        "data": dataset.fingerprint(),
    }
    images = [row for row in limit(dataset.rows(), experiment.limit) if not isinstance(row, Skip)]
    with spec.open() as engine:
        rows = collect(output, origin, images, lambda row: _answer(row, dataset, engine, variants), console)
    results = summarise(rows, list(variants), experiment.against, experiment.bins)
    results |= {"title": experiment.title, **origin, **provenance()}
    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (output / "table.md").write_text(to_markdown(results))
    return results


def collect(
    output: Path,
    origin: dict[str, Any],
    images: Sequence[Row],
    lines_of: Callable[[Row], Iterable[dict[str, Any]]],
    console: Console,
) -> list[dict[str, Any]]:
    """The lines of all images: those that `output` holds already, and `lines_of` each image that it does not.

    A line has variant, id, image_id and `last`, true of an image's last. Interrupted, it returns those so far.

    Raises:
        ResumeRefused: `output` is of another `origin`.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows_file = output / "rows.jsonl"
    _claim(output / "experiment.json", origin)
    done = {row["image_id"] for row in _rows(rows_file)}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, rows_file.open("a") as sink:
        task = progress.add_task("images", total=len(images), completed=len(done))
        try:
            for row in images:
                if row.image_id not in done:
                    lines = [json.dumps(line) for line in lines_of(row)]
                    sink.write("\n".join(lines) + "\n")
                    sink.flush()
                    progress.advance(task)
        except KeyboardInterrupt:
            console.print(f"interrupted: the table is of the images so far; the same command goes on in {output}")
    return list(_rows(rows_file))


def _claim(path: Path, origin: dict[str, Any]) -> None:
    """Marks a folder as this experiment's; refuses one that is another's."""
    if path.exists():
        before = json.loads(path.read_text())
        for settings in before.values():
            if isinstance(settings, dict):
                settings.pop("name", None)  # recorded before settings and strategies were told apart
        changed = [key for key in origin if before.get(key) != origin[key]]
        if changed:
            raise ResumeRefused(
                f"{path.parent} holds another experiment ({', '.join(changed)} changed). Give another --output"
            )
    path.write_text(json.dumps(origin, indent=1))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Finished rows; a last line cut off by a kill belongs to an image that is answered again."""
    if not path.exists():
        return
    made = []
    for line in path.read_text().splitlines():
        try:
            made.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    complete = {row["image_id"] for row in made if row["last"]}
    seen = set()
    for row in made:
        key = (row["variant"], row["id"])
        if row["image_id"] in complete and key not in seen:
            seen.add(key)
            yield row


class _Once(ForwardingEncoder):
    """An encoder that encodes each view of one picture once, for all variants. What a variant pays stays the same."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self._prepared: dict[int | None, Prepared] = {}
        self._encoded: dict[str, Encoding] = {}

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        if max_tok not in self._prepared:
            self._prepared[max_tok] = super().prepare(picture, max_tok)
        return self._prepared[max_tok]

    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        for item in batch:
            if item.key not in self._encoded:
                self._encoded[item.key] = super().encode([item])[0]
        return [self._encoded[item.key] for item in batch]


def _answer(row: Row, dataset: Dataset, engine: Engine, variants: dict[str, Episode]) -> Iterator[dict[str, Any]]:
    """One line per variant and question of one image."""
    once = _Once(engine)
    lines: list[dict[str, Any]] = []
    sample: Sample | DataError
    try:
        sample = dataset.sample(row)
    except DataError as error:
        sample = error
    questions: tuple[Question, ...] = row.questions if isinstance(sample, DataError) else sample.questions
    for name, settings in variants.items():
        started = time.perf_counter()
        outcomes: list[Outcome] = []
        grid = None
        try:
            if isinstance(sample, DataError):
                raise sample
            engine.forget()  # what another variant has read must not make this one cheaper
            seen = see(settings, once, sample.picture, questions)
            outcomes += run(episodes(settings, seen), engine)
            grid = seen.grid
        except DataError as error:
            outcomes = [error] * len(questions)
        seconds = (time.perf_counter() - started) / len(questions)
        for question, outcome in zip(questions, outcomes, strict=True):
            line = _line(question, outcome, grid, settings)
            lines.append({"variant": name, "image_id": row.image_id, "last": False, "seconds": seconds, **line})
    lines[-1]["last"] = True
    yield from lines


def _line(question: Question, outcome: Outcome, grid: Grid | None, settings: Episode) -> dict[str, Any]:
    base = {"id": question.id, "x_height_px": question.metadata.get("x_height_px")}
    if not isinstance(outcome, Trace):
        return {**base, "anls": 0.0, "exact": 0.0, "error": describe(outcome)}
    covered = None
    if settings.view != "resize" and grid is not None:  # a resized page shows everything, at a lower resolution
        covered = coverage(grid, outcome.shown, question.answer_boxes_uv)
    return {
        **base,
        "anls": anls(outcome.answer.text, question.answers),
        "exact": exact(outcome.answer.text, question.answers),
        "coverage": covered,
        "answer": outcome.answer.text,
        "readable": outcome.answer.readable,
        "confidence": outcome.answer.confidence,
        "visual_tok": outcome.cost.visual_tok,
        "prefill_tok": outcome.cost.prefill_tok,
        "encoder_passes": outcome.cost.encoder_passes,
        "fixations": len(outcome.steps),
        "read_s": outcome.cost.seconds["read"],
        "plan_s": outcome.cost.seconds["plan"],
    }
