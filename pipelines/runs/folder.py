"""The folder of a run: what is where, who may write, what is done.

An image is done when its file of answers is there and whole. The only commit is the rename that moves this file out of
the attempt's staging folder, so nothing can disagree with it. Its name is the image's number: what is done twice (a
resumed run, a retried write) replaces itself. An attempt begins by removing the staging folders of earlier ones, so
that workers of a killed driver, which go on for some seconds, have nothing left to rename.
"""

import fcntl
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from pipelines.runs import manifest
from pipelines.runs.config import changes
from pipelines.runs.files import read_parquet, replaced
from pipelines.runs.layout import Layout
from saccade.datasets import Dataset, limit
from saccade.errors import ConfigError, ResumeRefused


class RunFolder(Layout):
    """One run's folder, locked by this process. Made by `locked_folder`."""

    def is_empty(self) -> bool:
        """Whether it holds nothing of value: a run that ended before its data was listed leaves only `.saccade`."""
        return self.path.is_dir() and {entry.name for entry in self.path.iterdir()} <= {".saccade"}

    def begin(self, dataset: Dataset, num_questions: int | None) -> None:
        """Lists the images, unless an attempt with this configuration did.

        Raises:
            ConfigError: the data cannot be listed.
        """
        if not self.run_yaml.exists():  # it is written after the manifest
            manifest.write(limit(dataset.rows(), num_questions), self.manifest, self.skipped)

    def images(self) -> pa.Table:
        """The manifest."""
        return read_parquet(self.manifest)

    def select_left(self, retry_errors: bool) -> int:
        """Writes the manifest of what this attempt must do; how many images that is."""
        images = self.images()
        listed = zip(images["number"].to_pylist(), images["questions"].to_pylist(), strict=True)
        todo = [number for number, text in listed if self._is_left(number, text, retry_errors)]
        if todo:
            manifest.write_table(images.take(todo), self.left)
        return len(todo)

    def _is_left(self, number: int, questions: str, retry_errors: bool) -> bool:
        """Whether an image has no whole file of answers: none, one cut off by a crash, or one of other questions."""
        file = self.file_of(number)
        if not file.exists():
            return True
        try:
            answers = read_parquet(file, ["id", "error"])
        except (pa.ArrowException, OSError):
            return True
        asked = [question.id for question in manifest.questions_of(questions)]
        if Counter(answers["id"].to_pylist()) != Counter(asked * max(1, answers.num_rows // max(1, len(asked)))):
            return True
        return retry_errors and bool(answers["error"].is_valid().to_numpy().any())

    def new_attempt(self) -> str:
        """Shuts out every earlier attempt, and removes its summary, which is no longer true; the name of this one."""
        attempt = uuid.uuid4().hex[:8]
        self.summary_json.unlink(missing_ok=True)
        if self.staging().exists():
            shutil.rmtree(self.staging(), ignore_errors=True)
        for folder in (self.answers, self.encoded, self.staging(attempt)):
            folder.mkdir(parents=True, exist_ok=True)
        return attempt

    def encoder_passes(self) -> int:
        """Images encoded by all attempts together, those of killed attempts included."""
        return sum(file.read_bytes().count(b"\n") for file in self.encoded.glob("*.jsonl"))

    def last_death(self, attempt: str) -> str | None:
        """Why a worker of an attempt ended itself, if one did."""
        lines = self.deaths.read_text().splitlines() if self.deaths.exists() else []
        errors = [death["error"] for death in map(json.loads, lines) if death["attempt"] == attempt]
        return str(errors[-1]) if errors else None

    def write_yaml(self, values: dict[str, Any]) -> None:
        """Writes run.yaml."""
        with replaced(self.run_yaml) as path:
            path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Raises ConfigError where the system refuses the block to write to a run's folder."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write to {str(path)!r}: {error.strerror or error}. Name a folder that you may write to (--output)"
        ) from error


@contextmanager
def locked_folder(path: Path, identity: dict[str, Any], resume: bool) -> Iterator[RunFolder]:
    """The folder of a new run, or of one to go on with; locked while the block runs.

    Raises:
        ConfigError: the folder cannot be made or written to.
        ResumeRefused: it is not empty and `resume` is not set, it belongs to another configuration, or another
            process is writing to it.
    """
    folder = RunFolder(path)
    with writable(path):
        if path.exists() and not folder.is_empty():
            _must_be_a_run(folder, resume)
        folder.hidden.mkdir(parents=True, exist_ok=True)
        lock_file = folder.lock.open("w")
    with lock_file as lock:  # released by the system however this process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ResumeRefused(f"another process is writing to {str(path)!r}: wait for it, or end it") from error
        if folder.run_yaml.exists():
            _must_be_the_same(folder, identity)
        yield folder


def _must_be_a_run(folder: RunFolder, resume: bool) -> None:
    where = repr(str(folder.path))
    if not folder.path.is_dir():
        raise ResumeRefused(f"{where} is a file, and a run goes into a folder: name another --output")
    if not resume:
        raise ResumeRefused(f"{where} is there and not empty. Go on with the run in it by --resume, or name another")
    if (folder.path / "experiment.json").exists():
        raise ResumeRefused(f"{where} holds an experiment of an older saccade: it can be reported. Name another folder")
    if not folder.run_yaml.exists():
        raise ResumeRefused(f"{where} holds no run (no run.yaml), so there is nothing to --resume. Name another folder")


def _must_be_the_same(folder: RunFolder, identity: dict[str, Any]) -> None:
    before = yaml.safe_load(folder.run_yaml.read_text())["identity"]
    changed = changes(before, json.loads(json.dumps(identity)))
    if changed and not any(folder.answers.glob("*.parquet")):
        folder.run_yaml.unlink()  # nothing is answered: begun anew
    elif changed:
        raise ResumeRefused(
            f"{str(folder.path)!r} was begun with other settings: {'; '.join(map(_explained, changed))}. "
            "Give the ones it was begun with, or another --output"
        )


def _explained(change: str) -> str:
    """A change; one that shows only two hashes, with its meaning."""
    what = {
        "data": "the questions or images of the data set changed",
        "engine.weights": "the model's weights changed",
        "engine.settings": "the model's tokenizer, prompt or picture settings changed",
    }
    name = change.partition(":")[0]
    return f"{what[name]} ({change})" if name in what else change
