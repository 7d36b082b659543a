"""Questions in Parquet files: listed without reading an image, and one image read at a time.

A row is a question; rows of one image share an image id and become one Row, opened from the first of them. Listing
reads the columns that are used and not the pixels. `source` is "file#row,row//file#row", files below `data_path`: the
first is opened, the others must hold the same image (`saccade.datasets._cells`).
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from saccade.datasets import Dataset, Row, Skip, asking, digest
from saccade.datasets._arrow import is_image, is_text, plain
from saccade.datasets._cells import file_of, footer_hash, image_of, joined, open_parquet, same_images
from saccade.datasets._fields import DataPath, Listed, grouped, is_null, printable, to_question, wrong
from saccade.datasets._images import embedded, name_of, path_of
from saccade.datasets._pages import Pager, split
from saccade.datasets._walk import TEMPORARY, files_below, located
from saccade.decoding.pages import Pages
from saccade.errors import ConfigError, DataError, describe
from saccade.metrics.scoring import MetricName
from saccade.picture import Picture

FIELDS = ("question", "answers", "answer", "answer_boxes", "page")  # beside ids and the image


class ParquetQuestions(Dataset):
    """Base class of Parquet data sets. A subclass lists the files, and may rename or require columns."""

    layout: ClassVar[str] = "id (or question_id, questionId), image and question"
    id_columns: ClassVar[tuple[str, ...]] = ("id", "question_id", "questionId")
    """What names a question; (): nothing does, and it is named by its file and row."""
    image_columns: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("image_id",),
        ("ucsf_document_id", "ucsf_document_page_no"),
    )
    """What names the image of a row, best first: rows that agree on it are asked about one image, encoded once."""
    kept_columns: ClassVar[tuple[str, ...]] = ()  # stored as Question.metadata

    data_path: DataPath | None = None
    pages: Pages = None
    metric: MetricName = Field("anls", description="How answers are scored (`saccade list metrics`).")

    @abstractmethod
    def files(self) -> list[Path]:
        """The Parquet files, in order.

        Raises:
            ConfigError: there is no file; the message says how to give a path.
        """

    def asked(self) -> str | None:
        """The question for rows without one, which then need no id; None: each row must have a question."""
        return None

    def metric_of(self, record: Mapping[str, Any]) -> str:
        """The metric of one row."""
        return self.metric

    def rows(self) -> Iterator[Row | Skip]:
        files = self._readable()
        listed = self._told_apart(list(self._listed(files)))
        return grouped(listed, f"{files[0].parent}/ ({len(files)} Parquet files)", joined)

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        source, page = split(source)
        return Picture(partial(image_of, str(self._root()), source), limit_px, page)

    def path(self, source: str) -> Path | None:
        return file_of(str(self._root()), split(source)[0])

    def fingerprint(self) -> str:
        """A hash of each file's name, size and footer (row counts, offsets and statistics of every column), and of the
        question, the metric and the pages where they are set."""
        files = [[path.name, path.stat().st_size, footer_hash(path)] for path in self._readable()]
        return digest(files, *asking(self))

    def _readable(self) -> list[Path]:
        files = self.files()
        for path in files:  # all of them, before anything starts
            open_parquet(path).close()
        return files

    def _root(self) -> Path:
        """The folder that sources are relative to; sources of files elsewhere (the hub's cache) are absolute."""
        path = Path(self.data_path or "/")
        return path if path.is_dir() else path.parent

    def _listed(self, files: list[Path]) -> Iterator[Listed | Skip]:
        pager = Pager(self.pages)
        for path in files:
            with open_parquet(path) as file:
                id_column = self._id_column(file.schema_arrow, path)
                for number, record in enumerate(self._records(file, path)):
                    item = self._parse(record, id_column, path, number)
                    if isinstance(item, Skip):
                        yield item
                    else:
                        yield from pager.spread(item, self._file_of(record, path), record.get("page"))

    def _told_apart(self, listed: list[Listed | Skip]) -> list[Listed | Skip]:
        """Adds the file's name to image ids that mean different images in different files."""
        where: dict[str, dict[str, str]] = {}  # image id -> file -> where in it
        for item in listed:
            if isinstance(item, Listed) and "#" in item.source:
                where.setdefault(item.image_id, {}).setdefault(split(item.source)[0].rpartition("#")[0], item.source)
        repeated = [list(files.values()) for files in where.values() if len(files) > 1]
        if not repeated or same_images(str(self._root()), repeated):
            return listed
        several = {image_id for image_id, files in where.items() if len(files) > 1}
        return [
            replace(item, image_id=f"{split(item.source)[0].rpartition('#')[0]}:{item.image_id}")
            if isinstance(item, Listed) and item.image_id in several
            else item
            for item in listed
        ]

    def _id_column(self, schema: pa.Schema, path: Path) -> str | None:
        column = next((name for name in self.id_columns if name in schema.names), None)
        twice = [name for name in ("image", "question", column) if schema.names.count(name) > 1]
        unnamed = column is None and bool(self.id_columns)
        lacks = self.asked() is None and (unnamed or "question" not in schema.names)
        if lacks or "image" not in schema.names or twice:
            raise ConfigError(
                f"{str(path)!r} has the columns {', '.join(schema.names)}; a row needs {self.layout}"
                f"{', each once' if twice else ''}, and may have answers (list of texts), answer_boxes (lists of 4 "
                "pixels), page and image_id"
            )
        if not is_image(kind := schema.field("image").type):
            raise ConfigError(
                f"{str(path)!r}: the column image has type {kind}; it must be struct<bytes, path>, binary, or a path"
            )
        return column

    def _records(self, file: pq.ParquetFile, path: Path) -> Iterator[dict[str, Any]]:
        """The rows, without pixels and unused columns."""
        schema = file.schema_arrow
        used = {
            *FIELDS,
            *self.id_columns,
            *self.kept_columns,
            *(name for names in self.image_columns for name in names),
        }
        columns = [name for name in schema.names if name in used]
        image = schema.field("image").type
        if is_text(image):
            columns.append("image")
        elif pa.types.is_struct(plain(image)) and plain(image).get_field_index("path") >= 0:
            columns.append("image.path")  # it tells a missing image from one that is there
        if not columns:  # images alone: a batch without columns would have no rows
            yield from ({} for _ in range(file.metadata.num_rows))
            return
        try:
            for batch in file.iter_batches(columns=columns):
                yield from batch.to_pylist()
        except (OSError, pa.ArrowException, ValueError) as error:
            raise ConfigError(f"cannot read the Parquet file {str(path)!r}: {error}") from error

    def _parse(self, record: Mapping[str, Any], id_column: str | None, path: Path, number: int) -> Listed | Skip:
        where, source = f"{path.name}:{number}", f"{self._name(path)}#{number}"
        default = {} if self.asked() is None else {"question": self.asked()}
        own_id = _decoded(record[id_column]) if id_column else source if self.id_columns else f"{path.stem}#{number}"
        fields = {**default, **record, "id": own_id, "image": record.get("image", "not read")}
        metadata = {name: record[name] for name in self.kept_columns if record.get(name) is not None}
        question = to_question(fields, where, metadata, self.metric_of(record))
        if isinstance(question, Skip):
            return question
        try:
            return Listed(self._image_id(record) or source, source, question, where)
        except DataError as error:
            return Listed(source, source, replace(question, error=question.error or describe(error)), where)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root()).as_posix() if self.data_path else str(path)

    def _image_id(self, record: Mapping[str, Any]) -> str | None:
        """The image id; None: the image is this row's alone. A struct's `path` is no id: some files repeat it."""
        for columns in self.image_columns:
            values = [record.get(column) for column in columns]
            if not any(map(is_null, values)):
                return "_".join(_id_text(value) for value in values)
        image = record.get("image")
        if isinstance(image, str) and (data := embedded(image)) is not None:
            return name_of(data)
        return path_of(image) if isinstance(image, str) else None

    def _file_of(self, record: Mapping[str, Any], path: Path) -> Path | None:
        """The file that an image column of paths names; None if the column holds pixels."""
        image = record.get("image")
        try:
            named = path_of(image) if isinstance(image, str) and embedded(image) is None else None
        except DataError:  # it costs its own row, which says why
            return None
        return None if named is None else located(path.parent, named)


def parquet_files(data_path: str) -> list[Path]:
    """The file, or all .parquet files below the folder, sorted, without hidden and temporary ones.

    Raises:
        ConfigError: there is no file, or a folder cannot be read.
    """
    path = Path(data_path)
    files = parquet_below(path) if path.is_dir() else [path]
    if not files or not path.exists():
        hidden = parquet_below(path, hidden=()) if path.is_dir() else []
        why = f" but hidden or temporary ones ({hidden[0].relative_to(path)}, ...)" if hidden else ""
        raise ConfigError(
            f"there is no Parquet file at {data_path!r}{why} (--data-path: a .parquet file or a folder of them)"
        )
    return files


def parquet_below(folder: Path, hidden: tuple[str, ...] = TEMPORARY) -> list[Path]:
    """All .parquet files below a folder, sorted.

    Raises:
        ConfigError: a folder cannot be read.
    """
    return [folder / name for name in files_below(folder, hidden, ".parquet")]


def _decoded(value: Any) -> Any:
    """An id as text, also if it is stored as bytes."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _id_text(value: Any) -> str:
    value = _decoded(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong("image_id", value, "text or a finite number")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return printable(value)
