"""Runs in this process: a loop over the images of a run, each encoded once for all variants of looking at it."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.execute.async_reader import is_gone
from pipelines.execute.diagnosis import is_full
from pipelines.execute.say import say
from pipelines.runs import manifest, rows
from pipelines.runs.files import append_lines, commit, read_lines
from pipelines.runs.folder import RunFolder
from saccade.analysis.memory import peak_bytes
from saccade.clock import clock
from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines import Encoder, Engine, ForwardingEncoder
from saccade.episode import episodes, run, see
from saccade.errors import EngineDead, ResumeRefused, describe
from saccade.families import Prepared
from saccade.files import write_text
from saccade.picture import Picture
from saccade.types import Encoding, Question

Asked = Sequence[Question]

SHORT_S = 60
"""Runs shorter than this are not announced."""

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def answer_left(
    folder: RunFolder,
    attempt: str,
    dataset: Dataset,
    engine: Engine,
    variants: Mapping[str, Episode],
    limit_px: int | None,
    console: Console,
    timed: bool = False,
    memory: bool = False,
) -> None:
    """Answers the images that the attempt must do, one after the other; each image's rows are committed at once.

    `timed`: every variant encodes for itself. `memory`: rows say how much memory answering took.

    Raises:
        EngineDead: the engine is gone; what is done stays.
        KeyboardInterrupt: interrupted; what is done stays.
    """
    left = list(manifest.read(folder.left))
    file = folder.encoded_file(attempt, str(os.getpid()))
    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as progress, file.open("a") as encoded:
        task = progress.add_task("images", total=len(left))
        announced = False
        for num_done, (number, row) in enumerate(left, 1):
            started = perf_counter()
            image_rows = answer(
                row, dataset, engine, variants, limit_px, partial(_say, encoded, row.image_id), timed, memory
            )
            commit(rows.table(image_rows, dataset.path(row.source)), number, folder.staging(attempt), folder.answers)
            progress.advance(task)
            if not announced and all(each["error"] is None for each in image_rows):  # a broken image takes no time
                announced = True
                if notice := estimate(perf_counter() - started, len(left) - num_done):
                    say(console, notice)


def estimate(first_s: float, left: int) -> str:
    """How long the images that are left will take, by what the first took; "": it is not worth a line."""
    all_s = first_s * left
    if all_s < SHORT_S:
        return ""
    minutes = round(all_s / 60)
    takes = f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
    return (
        f"the first image took {first_s:.0f} s, so the other {left:,} take about {takes}, or less: it warms up as well"
    )


def _say(encoded: TextIO, image_id: str) -> None:
    """Notes a first encoder pass over an image: those of a run that is killed count as well."""
    encoded.write(json.dumps(image_id) + "\n")
    encoded.flush()


def answer(
    row: Row,
    dataset: Dataset,
    engine: Engine,
    variants: Mapping[str, Episode],
    limit_px: int | None,
    begins: Callable[[], None],
    timed: bool = False,
    memory: bool = False,
) -> list[dict[str, Any]]:
    """The rows of one image: one per variant and question. What fails costs its own rows, a dead engine the run.

    `begins` is called before the image is first encoded. `timed`: every variant decodes and encodes for itself, and its
    rows say how long each stage took. `memory`: it answers once more, and its rows say how much memory that took.
    """
    questions: Asked = row.questions
    try:
        sample = dataset.sample(row, limit_px)
        questions, picture = sample.questions, sample.picture
    except Exception as error:
        text = _survived(error)
        return [rows.error_row(row.image_id, question, text, name) for name in variants for question in questions]
    asked = [question for question in questions if question.error is None]
    once, image_rows = _Once(engine, begins), []
    for name, settings in variants.items():
        engine.forget()  # what another variant has read must not make this one cheaper
        if timed:
            once.forget()
            picture = _unread(picture)
        by_id = {q.id: rows.error_row(row.image_id, q, q.error, name) for q in questions if q.error is not None}
        try:
            with clock() as spent:
                seen = see(settings, once, picture, asked)
                outcomes = run(episodes(settings, seen), engine)
            answered = rows.scored_rows(row.image_id, seen, asked, outcomes, settings, name)
            measured: dict[str, Any] = {"stages": _stages(spent, len(asked)) if timed else None}
            if memory and answered:
                measured["peak_mb"] = _peak_mb(settings, engine, _unread(picture), asked)
            by_id |= {each["id"]: {**each, **measured} for each in answered}
        except Exception as error:
            text = _survived(error)
            by_id |= {question.id: rows.error_row(row.image_id, question, text, name) for question in asked}
        image_rows += [by_id[question.id] for question in questions]
    return image_rows


def _unread(picture: Picture) -> Picture:
    """The same image, not decoded yet."""
    return Picture.open(picture.data, picture.limit_px, picture.page)


def _stages(spent: Mapping[str, float], num_questions: int) -> list[dict[str, Any]]:
    """Seconds per question of each stage; what questions of an image share is divided among them."""
    return [{"name": name, "seconds": seconds / max(1, num_questions)} for name, seconds in spent.items()]


def _peak_mb(settings: Episode, engine: Engine, picture: Picture, asked: Asked) -> float:
    """Megabytes of tensors that answering from scratch holds at once, without the model's weights."""
    engine.forget()
    return peak_bytes(lambda: run(episodes(settings, see(settings, engine, picture, asked)), engine)) / 1e6


def _survived(error: Exception) -> str:
    """What an error row says. A full disk is raised as it is, and an engine that is gone as EngineDead."""
    if is_full(error) or isinstance(error, EngineDead):
        raise error
    if is_gone(error):
        raise EngineDead(describe(error)) from error
    return describe(error)


class _Once(ForwardingEncoder):
    """An encoder that encodes each view of one picture once, for all variants. Each is still charged for it."""

    def __init__(self, encoder: Encoder, begins: Callable[[], None]) -> None:
        super().__init__(encoder)
        self._begins, self._begun = begins, False
        self._prepared: dict[int | None, Prepared] = {}
        self._encoded: dict[str, Encoding] = {}

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        if max_tok not in self._prepared:
            self._prepared[max_tok] = super().prepare(picture, max_tok)
        return self._prepared[max_tok]

    def forget(self) -> None:
        """Drops its encodings, so that the next variant makes its own."""
        self._prepared.clear()
        self._encoded.clear()

    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        for item in batch:
            if item.key not in self._encoded:
                if not self._begun:
                    self._begun = True
                    self._begins()
                self._encoded[item.key] = super().encode([item])[0]
        return [self._encoded[item.key] for item in batch]


def collect(
    output: Path,
    origin: dict[str, Any],
    images: Sequence[Row],
    lines_of: Callable[[Row], Iterable[dict[str, Any]]],
    console: Console,
) -> list[dict[str, Any]]:
    """The lines of all images: those that `output` holds already, and `lines_of` each other image.

    A line has variant, id, image_id and `last`, true for an image's last. Interrupted, it returns the lines so far.

    Raises:
        ResumeRefused: `output` is of another `origin`.
        EngineDead: the engine is gone; the same command goes on.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows_file = output / "rows.jsonl"
    _claim(output / "experiment.json", origin)
    done_ids = {row["image_id"] for row in _rows(rows_file)}
    with Progress(*COLUMNS, console=console) as progress:
        task = progress.add_task("images", total=len(images), completed=len(done_ids))
        try:
            for row in images:
                if row.image_id not in done_ids:
                    append_lines(rows_file, [json.dumps(line) for line in lines_of(row)])
                    progress.advance(task)
        except KeyboardInterrupt:
            say(console, f"interrupted: the table is of the images so far; the same command goes on in {output}")
        except Exception as error:
            if not is_gone(error):
                raise
            raise EngineDead(f"{describe(error)}. The same command goes on in {output}") from error
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
    write_text(path, json.dumps(origin, indent=1))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Finished rows; a last line cut off by a kill belongs to an image that is answered again."""
    stored = list(read_lines(path))
    complete = {row["image_id"] for row in stored if row["last"]}
    seen = set()
    for row in stored:
        key = (row["variant"], row["id"])
        if row["image_id"] in complete and key not in seen:
            seen.add(key)
            yield row
