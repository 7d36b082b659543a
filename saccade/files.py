"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

RUN = ".saccade"
"""A folder that holds one of this name is a run's output: no part of the data that it lies among."""


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; takes its name, once it is on the disk, when the block ends well.

    It is named once: other threads and processes may write the same file at the same time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # a rename must not get to the disk before what it names
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A text file that appears whole."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
