"""Reads images from Parquet files one at a time: a row group is streamed up to the row in small batches, so that memory
holds a few images instead of the group.

Rows that share an image id are shown one image. That they hold the same one is checked when it is opened, so that a
question is never asked about another row's image.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.datasets._arrow import is_text
from saccade.datasets._images import embedded, path_of
from saccade.datasets._pages import MARK, split
from saccade.datasets._walk import located
from saccade.decoding.header import stands_in
from saccade.errors import ConfigError, DataError, PictureError
from saccade.picture import MAX_FILE_BYTES, Picture

FOOTER_BYTES = 8  # at the end of a Parquet file: length of the footer (4 bytes, little-endian), then PAR1
COMPARED = 16
"""Image ids in several files whose images are compared at the start; the others are compared when they are opened."""

BETWEEN = "//"  # between files of a source; no path below a folder holds it


def joined(sources: Sequence[str]) -> str:
    """Joins the sources of all rows of an image: "file#row,row//file#row", followed by the page."""
    rows: dict[str, list[str]] = {}
    for source in sources:
        file, _, row = split(source)[0].rpartition("#")
        rows.setdefault(file, []).append(row)
    page = split(sources[0])[1]
    listed = BETWEEN.join(f"{file}#{','.join(numbers)}" for file, numbers in rows.items())
    return listed if page is None else f"{listed}{MARK}{page}"


def places(source: str) -> Iterator[tuple[str, list[int]]]:
    """Each file of a source with its rows."""
    for part in source.split(BETWEEN):
        file, _, rows = part.rpartition("#")
        yield file, [int(row) for row in rows.split(",")]


def image_of(root: str, source: str) -> bytes:
    """The encoded image that all rows of a source share.

    Raises:
        PictureError: the image cannot be read, or the rows hold different images.
    """
    first: tuple[str, Any, bytes] | None = None
    for file, rows in places(source):
        path = str(Path(root) / file)
        for row, value in _cells(path, rows):
            if first is None:
                first = f"row {row} of {path!r}", value, _image(value, path, row)
            elif value != first[1] and _image(value, path, row) != first[2]:
                raise PictureError(
                    f"{first[0]} and row {row} of {path!r} have one image id and different images: questions would be "
                    "asked of the wrong one. Give each image an image_id of its own"
                )
    assert first is not None
    return first[2]


def file_of(root: str, source: str) -> Path | None:
    """The file that a column of paths names for a source; None: the column holds pixels, or cannot be read."""
    file, rows = next(places(source))
    path = Path(root) / file
    try:
        with open_parquet(path) as parquet:
            if not is_text(parquet.schema_arrow.field("image").type):
                return None
        _, value = next(_streamed(str(path), rows[:1]))
        named = path_of(value) if embedded(value) is None else None
    except (
        OSError,
        ConfigError,
        DataError,
        pa.ArrowException,
        StopIteration,
    ):  # opening the picture says what is wrong
        return None
    return None if named is None else located(path.parent, named)


def same_images(root: str, repeated: Sequence[Sequence[str]]) -> bool:
    """Whether the sources of an image id in several files hold one image; checks the first `COMPARED` ids."""
    for sources in repeated[:COMPARED]:
        try:
            if len({hashlib.sha256(image_of(root, split(source)[0])).digest() for source in sources}) > 1:
                return False
        except PictureError:  # an error row where it is opened; it says nothing about the others
            continue
    return True


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file whose pages are streamed, not whole columns.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except (OSError, pa.ArrowException) as error:
        other_kind = _what_it_is(path)
        reason = error if other_kind is None else f"it is {other_kind}"
        raise ConfigError(f"cannot read the Parquet file {str(path)!r}: {reason}") from error


def _what_it_is(path: Path) -> str | None:
    """The kind of the file that is not a Parquet file, if it is known."""
    try:
        with path.open("rb") as file:
            begin = file.read(1024)
    except OSError:
        return None
    if begin.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return "JSON: give it as the data set itself (--dataset FILE, and --metric where it is not ANLS)"
    return stands_in(begin)


def _image(value: Any, path: str, row: int) -> bytes:
    """The bytes of one cell of the image column."""
    if isinstance(value, list):
        value = bytes(value)
    try:
        data = embedded(value)
        named = path_of(value) if data is None else None
    except DataError as error:
        raise PictureError(f"row {row} of {path!r}: {error}") from error
    if named is not None:
        read = Picture.open(located(Path(path).parent, named)).data
        assert isinstance(read, bytes)
        data = read
    if not data:
        raise PictureError(f"row {row} of {path!r} has no image")
    if len(data) > MAX_FILE_BYTES:
        raise PictureError(f"the image has {len(data):,} bytes; at most {MAX_FILE_BYTES:,} are read")
    return data


def _cells(path: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """The image column at some rows, given in ascending order."""
    try:
        yield from _streamed(path, rows)
    except (OSError, ConfigError, pa.ArrowException) as error:
        raise PictureError(f"cannot read row {rows[0]} of {path!r}: {error}") from error


def _streamed(path: str, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
    left, begin = list(rows), 0
    with open_parquet(Path(path)) as file:
        for group in range(file.metadata.num_row_groups):
            at, end = begin, begin + file.metadata.row_group(group).num_rows
            begin = end
            if not left or left[0] >= end:
                continue
            for batch in file.iter_batches(batch_size=8, row_groups=[group], columns=["image"], use_threads=False):
                while left and left[0] < at + batch.num_rows:
                    yield left[0], batch.column(0)[left[0] - at].as_py()
                    left.pop(0)
                at += batch.num_rows
                if not left or left[0] >= end:
                    break
    if left:
        raise PictureError(f"{path!r} has no row {left[0]}: the file has changed since it was listed")


def footer_hash(path: Path) -> str:
    """Hash of a Parquet file's footer."""
    with path.open("rb") as file:
        file.seek(-FOOTER_BYTES, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-FOOTER_BYTES - length, 2)
        return hashlib.sha256(file.read(length)).hexdigest()
