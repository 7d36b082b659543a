"""Parquet, JSON lines and pictures, whatever the names of their files: every part of a path is a name, no more.

Arrow and Ray take `key=value` folders for columns, and `?`, `*` and `%20` for parts of URLs: a run in a folder called
`number=5` would lose rows. Here Parquet is read from and written to open files.

Nothing here imports saccade at once: that brings torch, and the processes that list and write for the graph, which have
seconds to live, would begin with it.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.runs.layout import answers_name


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file, or some columns of it."""
    with path.open("rb") as file:
        return pq.ParquetFile(file).read(columns=None if columns is None else list(columns))


def write_parquet(table: pa.Table, path: Path, **options: str) -> None:
    """A Parquet file; for one that appears whole, inside of `replaced`."""
    with path.open("wb") as file:
        pq.write_table(table, file, **options)


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Appends lines to a file, and waits until they are on the disk. A line that a crash cut off keeps to itself."""
    text = "".join(f"{line}\n" for line in lines)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[Any]:
    """The values of a file of JSON lines; none where there is no file. A line that was cut off, perhaps inside of a
    character, is none: nobody was told that it is there."""
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        yield value


def picture_path(path: Path) -> Path:
    """A path that a picture can be drawn to, before the work for it is done.

    Raises:
        ConfigError: it does not end in .png, or cannot be written.
    """
    from saccade.errors import ConfigError  # here: workers that write answers need no more than the rest

    if path.suffix.lower() != ".png":
        raise ConfigError(f"a picture is drawn as .png; got {str(path)!r}")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {str(path.parent)!r} to draw {path.name} into: make it first")
    try:
        if path.is_dir():
            raise ConfigError(f"cannot draw to {str(path)!r}: it is a folder")
        if path.exists():
            path.open("r+b").close()
        else:
            tempfile.TemporaryFile(dir=path.parent, prefix=path.name[:200]).close()
    except OSError as error:
        raise ConfigError(
            f"cannot write {str(path)!r}: {error.strerror or error}. Name a folder that you may write to"
        ) from error
    return path


def commit(table: pa.Table, number: int, staging: Path, answers: Path) -> None:
    """Writes one image's rows beside the others: the rename is the commit, and replaces what an earlier try wrote."""
    name = answers_name(number)
    temporary = staging / f"{name}.{os.getpid()}"
    write_parquet(table, temporary, compression="zstd")
    with temporary.open("rb") as file:
        os.fsync(file.fileno())  # a rename must not get to the disk before what it names
    os.replace(temporary, answers / name)
