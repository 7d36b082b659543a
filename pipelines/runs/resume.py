"""Going on with a run: whether a folder may be gone on with, and which of its images are left to do.

A run goes on with the configuration and the data that it was begun with, in a folder that no other process writes to.
An image is left where its file of answers is not there, was cut off by a crash, or answers other questions.
"""

import fcntl
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from pipelines.runs import manifest
from pipelines.runs.config import changes
from pipelines.runs.files import read_parquet
from pipelines.runs.folder import RunFolder, writable
from saccade.errors import ConfigError, ResumeRefused


@contextmanager
def locked_folder(path: Path, identity: dict[str, Any], resume: bool) -> Iterator[RunFolder]:
    """The folder of a new run, or of one to go on with; locked while the block runs.

    Raises:
        ConfigError: the folder cannot be made or written to, or is on a disk without locks.
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
        except (BlockingIOError, PermissionError) as error:  # EAGAIN, or EACCES
            raise ResumeRefused(f"another process is writing to {str(path)!r}: wait for it, or end it") from error
        except OSError as error:  # as of a network disk that is mounted without them
            raise ConfigError(
                f"the disk of {str(path)!r} has no locks ({error.strerror or error}), so two runs could write to it at "
                "once: name a folder on another disk (--output), or mount it with locks"
            ) from error
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
    try:
        stored = yaml.safe_load(folder.run_yaml.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ResumeRefused(f"{folder.run_yaml} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(stored, dict) or not isinstance(stored.get("identity"), dict):
        raise ResumeRefused(f"{folder.run_yaml} is not that of a run: it has no identity. Name another folder")
    changed = changes(stored["identity"], json.loads(json.dumps(identity)))
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


def select_left(folder: RunFolder, retry_errors: bool) -> int:
    """Writes the manifest of what this attempt must do; how many images that is.

    With `retry_errors` images with rows of errors are left as well.
    """
    images = folder.images()
    listed = zip(images["number"].to_pylist(), images["questions"].to_pylist(), strict=True)
    todo = [number for number, text in listed if _is_left(folder.file_of(number), text, retry_errors)]
    if todo:
        manifest.write_table(images.take(todo), folder.left)
    return len(todo)


def _is_left(file: Path, questions: str, retry_errors: bool) -> bool:
    """Whether an image has no whole file of answers: none, one cut off by a crash, or one of other questions."""
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
