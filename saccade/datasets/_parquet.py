"""Questions in Parquet files: listed without reading an image, and one image read at a time.

A row is a question; rows of one image share an image id and become one Row, opened from the first of them. Listing
reads every column but the pixels. `source` is "file#row", the file below `data_path`; opening it streams the row group
that holds the row up to the row, in small batches, so memory holds a few images, not the group.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.datasets import Dataset, Row, Skip, digest
from saccade.datasets._fields import DataPath, Listed, grouped, printable, to_question
from saccade.errors import ConfigError, PictureError
from saccade.picture import MAX_FILE_BYTES, Picture

_FOOTER_BYTES = 8  # at the end of a Parquet file: length of the footer (4 bytes, little-endian), then PAR1


class ParquetQuestions(Dataset):
    """What Parquet data sets share. A subclass says which files, and may rename or require columns."""

    layout: ClassVar[str] = "id (or question_id, questionId), image and question"
    id_columns: ClassVar[tuple[str, ...]] = ("id", "question_id", "questionId")
    image_columns: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("image_id",),
        ("ucsf_document_id", "ucsf_document_page_no"),
    )
    """What names the image of a row, best first: rows that agree on it are asked about one image, encoded once."""
    kept_columns: ClassVar[tuple[str, ...]] = ()  # stored as Question.metadata

    data_path: DataPath | None = None

    @abstractmethod
    def files(self) -> list[Path]:
        """The Parquet files, in order.

        Raises:
            ConfigError: there is none; the message says how to give a path.
        """

    def rows(self) -> Iterator[Row | Skip]:
        files = self._readable()
        return grouped(self._listed(files), f"{files[0].parent}/ ({len(files)} Parquet files)")

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        name, _, row = source.rpartition("#")
        return Picture(partial(_image, str(self._root() / name), int(row)), limit_px)

    def fingerprint(self) -> str:
        """Of each file's name, size and footer (row counts, offsets and statistics of every column)."""
        return digest([[path.name, path.stat().st_size, _footer_hash(path)] for path in self._readable()])

    def _readable(self) -> list[Path]:
        files = self.files()
        for path in files:  # all of them, before anything starts
            _open(path).close()
        return files

    def _root(self) -> Path:
        """What sources are relative to; those of files that stand elsewhere (the hub's cache) are absolute."""
        path = Path(self.data_path or "/")
        return path if path.is_dir() else path.parent

    def _listed(self, files: list[Path]) -> Iterator[Listed | Skip]:
        for path in files:
            with _open(path) as file:
                id_column = self._id_column(file.schema_arrow, path)
                for number, record in enumerate(_records(file, path)):
                    yield self._parse(record, id_column, path, number)

    def _id_column(self, schema: pa.Schema, path: Path) -> str:
        found = next((name for name in self.id_columns if name in schema.names), None)
        if found is None or "image" not in schema.names or "question" not in schema.names:
            raise ConfigError(
                f"{str(path)!r} has the columns {', '.join(schema.names)}; a row needs {self.layout}, "
                "and may have answers (list of texts), answer_boxes (lists of 4 pixels) and image_id"
            )
        image = schema.field("image").type
        keys = {field.name for field in image} if pa.types.is_struct(image) else {"bytes"}
        if not (keys & {"bytes", "path"} and (pa.types.is_struct(image) or _is_bytes(image) or _is_text(image))):
            raise ConfigError(
                f"{str(path)!r}: the column image has type {image}; it must be struct<bytes, path>, binary, or a path"
            )
        return found

    def _parse(self, record: Mapping[str, Any], id_column: str, path: Path, number: int) -> Listed | Skip:
        where, source = f"{path.name}:{number}", f"{self._name(path)}#{number}"
        fields = {**record, "id": record[id_column], "image": record.get("image", "not read")}
        metadata = {name: record[name] for name in self.kept_columns if record.get(name) is not None}
        question = to_question(fields, where, metadata)
        if isinstance(question, Skip):
            return question
        return Listed(self._image_id(record) or source, source, question, where)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root()).as_posix() if self.data_path else str(path)

    def _image_id(self, record: Mapping[str, Any]) -> str | None:
        """None: the image is the row's own. A struct's `path` is not trusted: files repeat "image.png" in every row."""
        for columns in self.image_columns:
            values = [record.get(column) for column in columns]
            if None not in values:
                return "_".join(map(printable, values))
        return record["image"] if isinstance(record.get("image"), str) else None


def parquet_files(data_path: str) -> list[Path]:
    """The file, or all .parquet files below the folder, sorted."""
    path = Path(data_path)
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise ConfigError(
            f"there is no Parquet file at {data_path!r} (--data-path: a .parquet file or a folder of them)"
        )
    return files


def _records(file: pq.ParquetFile, path: Path) -> Iterator[dict[str, Any]]:
    """The rows without their pixels."""
    try:
        for batch in file.iter_batches(columns=_columns_but_pixels(file.schema_arrow)):
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"cannot read the Parquet file {str(path)!r}: {error}") from error


def _columns_but_pixels(schema: pa.Schema) -> list[str]:
    """Of a struct image, `image.path` is read too: it tells a missing image from one that is there."""
    image = schema.field("image").type
    columns = [name for name in schema.names if name != "image"]
    if _is_text(image):
        columns.append("image")
    elif pa.types.is_struct(image) and image.get_field_index("path") >= 0:
        columns.append("image.path")
    return columns


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)  # pages are streamed, not whole columns
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"cannot read the Parquet file {str(path)!r}: {error}") from error


def _image(path: str, row: int) -> bytes:
    """The encoded image of one row."""
    try:
        value = _cell(path, row)
    except (OSError, ConfigError, pa.ArrowException) as error:
        raise PictureError(f"cannot read row {row} of {path!r}: {error}") from error
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        data = Picture.open(Path(path).parent / value).data
        assert isinstance(data, bytes)
        return data
    if not isinstance(value, bytes):
        raise PictureError(f"row {row} of {path!r} has no image")
    if len(value) > MAX_FILE_BYTES:
        raise PictureError(f"the image has {len(value):,} bytes; at most {MAX_FILE_BYTES:,} are read")
    return value


def _cell(path: str, row: int) -> Any:
    with _open(Path(path)) as file:
        left = row
        for group in range(file.metadata.num_row_groups):
            rows_in_group = file.metadata.row_group(group).num_rows
            if left < rows_in_group:
                for batch in file.iter_batches(batch_size=8, row_groups=[group], columns=["image"], use_threads=False):
                    if left < batch.num_rows:
                        return batch.column(0)[left].as_py()
                    left -= batch.num_rows
            left -= rows_in_group
    raise PictureError(f"{path!r} has no row {row}: the file has changed since it was listed")


def _footer_hash(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(-_FOOTER_BYTES, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-_FOOTER_BYTES - length, 2)
        return hashlib.sha256(file.read(length)).hexdigest()
