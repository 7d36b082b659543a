"""The folder of a run: what it holds, and when an image of it is done.

An image is done when its file of answers is there and whole. The only commit is the rename that moves this file out of
the attempt's staging folder, so nothing can disagree with it. Its name is the image's number: what is done twice (a
resumed run, a retried write) replaces itself. An attempt begins by removing the staging folders of earlier ones, so
that workers of a killed driver, which go on for some seconds, have nothing left to rename.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from pipelines.runs import manifest
from pipelines.runs.files import read_lines, read_parquet
from pipelines.runs.layout import RUN, Layout
from saccade.datasets import Dataset, limit
from saccade.datasets._fields import printable
from saccade.errors import ConfigError
from saccade.files import write_text


class RunFolder(Layout):
    """One run's folder, locked by this process. Made by `pipelines.runs.resume.locked_folder`."""

    def is_empty(self) -> bool:
        """Whether it holds nothing of value: a run that ended before its data was listed leaves only `.saccade`."""
        return self.path.is_dir() and {entry.name for entry in self.path.iterdir()} <= {RUN}

    def begin(self, dataset: Dataset, num_questions: int | None) -> None:
        """Lists the images, unless an attempt with this configuration did and its list was not lost since.

        Raises:
            ConfigError: the data cannot be listed.
        """
        if not (self.run_yaml.exists() and self.manifest.exists()):  # a copy of a run may lack what is hidden
            manifest.write(limit(dataset.rows(), num_questions), self.manifest, self.skipped)

    def images(self) -> pa.Table:
        """The manifest."""
        return read_parquet(self.manifest)

    def new_attempt(self) -> str:
        """Shuts out every earlier attempt, and removes its summary, which is no longer true; the name of this one."""
        attempt = uuid.uuid4().hex[:8]
        self.summary_json.unlink(missing_ok=True)
        if self.staging().exists():
            shutil.rmtree(self.staging(), ignore_errors=True)
        for folder in (self.answers, self.encoded, self.staging(attempt)):
            folder.mkdir(parents=True, exist_ok=True)
        return attempt

    def num_encoded(self) -> int:
        """Images encoded by all attempts together, those of killed attempts included."""
        return sum(file.read_bytes().count(b"\n") for file in self.encoded.glob("*.jsonl"))

    def last_death(self, attempt: str) -> str | None:
        """Why a worker of an attempt ended itself, if one did."""
        errors = [death["error"] for death in read_lines(self.deaths) if death["attempt"] == attempt]
        return str(errors[-1]) if errors else None

    def write_yaml(self, values: dict[str, Any]) -> None:
        """Writes run.yaml."""
        write_text(self.run_yaml, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Raises ConfigError where the system refuses the block to write to a run's folder, or Arrow would later."""
    if (shown := printable(str(path))) != str(path):
        raise ConfigError(
            f"the name of {shown!r} is not Unicode, so its answers could not be read: name another folder"
        )
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write to {str(path)!r}: {error.strerror or error}. Name a folder that you may write to (--output)"
        ) from error
