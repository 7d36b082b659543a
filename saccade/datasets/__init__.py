"""Data sets. One file per data set; the file's name is the data set's name.

A data set lists its images with their questions (`rows`, run once by the driver) and opens one image by the `source`
string it listed (`picture`, run in any process, any number of times). Unusable data are never dropped silently:

- a line without id, image or question, or with an id seen before, is a `Skip` with a reason that can be counted;
- a question with any other wrong field (a box of three numbers) is listed with `Question.error`: an error row;
- an image that cannot be read raises PictureError where it is opened: an error row for each of its questions.
"""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from saccade.errors import ConfigError, DataError, UnknownName, describe
from saccade.picture import Picture, suffixes
from saccade.registry import Strategy, find, load, names
from saccade.types import Question, Sample

_FILES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
"""The data set that reads a file, by its ending."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a data set with all its questions; `Dataset.picture` opens it by its `source`."""

    image_id: str
    source: str
    questions: tuple[Question, ...]


NO_SUCH_PAGE = "no_such_page"
"""Why a question about a file is skipped on chosen pages that the file does not have."""


@dataclass(frozen=True, slots=True)
class Skip:
    """An entry of the data that is not a question about an image. Skips are counted and listed."""

    reason: str  # one of a few: bad_json, not_utf8, no_id, no_image, duplicate_id, not_an_image, no_such_page, ...
    where: str  # file and line


class Dataset(Strategy):
    """A value that lists questions and opens pictures; it holds paths and settings, never data."""

    @abstractmethod
    def rows(self) -> Iterator[Row | Skip]:
        """All images in a fixed order, one `Row` per image; ids are unique. Images are not opened.

        Raises:
            ConfigError: the data cannot be found or has another layout; the message says how to give a path.
        """

    @abstractmethod
    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        """The (lazy) picture of one row."""

    def path(self, source: str) -> Path | None:
        """The file of a row's image; None: the image has no file of its own."""
        return None

    def strangers(self, row: Row, count: int) -> tuple[str, ...]:
        """Up to `count` questions that the image of a row does not answer, where the data set can tell."""
        return ()

    def fingerprint(self) -> str:
        """A hash that changes with the questions and is cheap to compute; equal for the same data elsewhere.

        Images in files of their own do not count: a broken one may be replaced before `--retry-errors`.
        """
        return digest(self.spec())

    def sample(self, row: Row, limit_px: int | None = None) -> Sample:
        """A row with its picture, and all answer boxes in uv. Opens the image's header if boxes are given in pixels.

        Raises:
            PictureError: boxes are given in pixels and the image's size cannot be read.
        """
        picture = self.picture(row.source, limit_px)
        questions = tuple(_located(q, picture) if q.answer_boxes_px else q for q in row.questions)
        return Sample(row.image_id, picture, questions)


def _located(question: Question, picture: Picture) -> Question:
    """Converts boxes in pixels to uv, cut at the image's border; a box outside it is an error of the question."""
    width, height = picture.size_px
    boxes = []
    for x0, y0, x1, y1 in question.answer_boxes_px:
        if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            box = f"[{x0:g}, {y0:g}, {x1:g}, {y1:g}]"
            error = DataError(f"answer box {box} px lies outside the image of {width} x {height} px")
            return replace(question, answer_boxes_px=(), error=question.error or describe(error))
        boxes.append((max(x0, 0) / width, max(y0, 0) / height, min(x1, width) / width, min(y1, height) / height))
    return replace(question, answer_boxes_uv=tuple(boxes), answer_boxes_px=())


def open_dataset(
    dataset: str,
    *,
    data_path: str | Path | None = None,
    question: str | None = None,
    page_px: int | None = None,
    pages: str | int | None = None,
    metric: str | None = None,
    **settings: Any,
) -> Dataset:
    """A data set by its name, or the data set that reads a path. A name wins over a folder of that name (`./name`).

    `question` is for a folder of images, `page_px` for data sets that draw their own pages, `pages` ("1,3-5") for
    files of several pages, `metric` for scoring answers about one's own data.

    Raises:
        UnknownName: neither the name of a data set nor a path.
        ConfigError: nothing usable at the path, or a setting is wrong; the message says what is allowed.
    """
    path = Path(dataset).expanduser()
    if "/" in dataset or path.suffix.lower() in _FILES or (path.exists() and dataset not in names("datasets")):
        if data_path is not None:
            raise ConfigError(f"--dataset {dataset} is a path already; --data-path {data_path} goes with a name")
        dataset, data_path = _name_for(path, question), path
    try:
        kind = find("datasets", dataset, Dataset)
    except UnknownName as error:
        raise UnknownName(
            f"{error} Nor is there a file or folder {dataset!r}: a path to questions.jsonl, to a .parquet file or a "
            "folder of them, or to a folder of images (with --question) is a data set too."
        ) from error
    given = {
        "data_path": None if data_path is None else str(data_path),
        "question": question,
        "page_px": page_px,
        "pages": None if pages is None else str(pages),  # YAML reads one page as a number
        "metric": metric,
    }
    for key, value in given.items():
        field = kind.model_fields.get(key)
        option = f"--{key.replace('_', '-')}"
        if field is None and value is not None:
            raise ConfigError(f"data set {dataset!r} takes no {option} (got {value!r})")
        if field is not None and field.is_required() and value is None:
            raise ConfigError(f"data set {dataset!r} needs {option}")
        if value is not None:
            settings[key] = value
    return load("datasets", {"name": dataset, **settings}, Dataset)


def open_images(images: str, pages: str | None = None, question: str = "What is this?") -> Dataset:
    """The data set of the images at a path, a pattern or a URL, each with the same question.

    A folder of images, of Parquet files or of tar files; a .jsonl, .json, .parquet or .tar file; one image, PDF or
    TIFF; a pattern ("scans/*.jpg"); a URL that fsspec opens.

    Raises:
        ConfigError: nothing of that kind is there.
    """
    return load("datasets", {**_images_spec(images), "question": question, "pages": pages}, Dataset)


def _images_spec(images: str) -> dict[str, str]:
    """The name and path of the data set that lists the images at a place."""
    from saccade.datasets.glob import is_pattern

    if is_pattern(images):
        return {"name": "glob", "data_path": images}
    path = Path(images).expanduser()
    ending = path.suffix.lower()
    if path.is_dir():
        return {"name": _kind_of_folder(path), "data_path": str(path)}
    if not path.exists():
        raise ConfigError(f"there is no file or folder {images!r}, and it is no pattern (scans/*.jpg) and no URL")
    name = _FILES.get(ending) or {".tar": "tar"}.get(ending) or ("glob" if ending in suffixes() else None)
    if name is None:
        raise ConfigError(f"{images!r} is no image, PDF or TIFF, and no list of images (.jsonl, .json, .parquet, .tar)")
    return {"name": name, "data_path": str(path)}


def _kind_of_folder(path: Path) -> str:
    """A folder that holds an image is one of images; without any, one of Parquet files or of tar files."""
    from saccade.datasets._parquet import parquet_below  # it brings pyarrow
    from saccade.datasets._walk import TEMPORARY, files_below, walked

    images = suffixes()
    if any(Path(name).suffix.lower() in images for name in walked(path, (".",), lambda folder, error: None)):
        return "folder"
    return "parquet" if parquet_below(path) else "tar" if files_below(path, TEMPORARY, ".tar") else "folder"


def limit(rows: Iterable[Row | Skip], num_questions: int | None) -> Iterator[Row | Skip]:
    """The first `num_questions` questions (None: all); the image that holds the last of them keeps only those."""
    if num_questions is not None and num_questions < 1:
        raise ConfigError(f"--limit {num_questions} must be at least 1 question")
    return iter(rows) if num_questions is None else _first(rows, num_questions)


def _first(rows: Iterable[Row | Skip], left: int) -> Iterator[Row | Skip]:
    for row in rows:
        if isinstance(row, Row):
            row = replace(row, questions=row.questions[:left])
            left -= len(row.questions)
        yield row
        if left == 0:
            return


def digest(*parts: Any) -> str:
    """A short hash of JSON-like values, for fingerprints."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def asking(dataset: Dataset) -> tuple[dict[str, Any], ...]:
    """What is asked of which pages, and how answers are scored, for fingerprints; (): nothing but the defaults."""
    given = dataset.model_dump(include={"question", "metric", "pages"}, exclude_defaults=True)
    return (given,) if given else ()


def _name_for(path: Path, question: str | None) -> str:
    """The name of the data set that reads the file or folder at `path`."""
    if path.is_dir():
        if question is not None:
            return "folder"
        from saccade.datasets._parquet import parquet_below  # it brings pyarrow

        if parquet_below(path):
            return "parquet"
        raise ConfigError(
            f"the folder {str(path)!r} holds no .parquet file. If it is a folder of images, say what to ask of each: "
            "--question 'What is the total?'. If a questions.jsonl lists them, give that file"
        )
    if not path.exists():
        raise ConfigError(f"there is no file or folder {str(path)!r} (--dataset)")
    if path.suffix.lower() not in _FILES:
        raise ConfigError(
            f"--dataset {str(path)!r}: a data set is a .jsonl, .json or .parquet file, a folder of Parquet files, or a "
            "folder of images with --question; one image or PDF is asked by `saccade ask`, or is --dataset glob "
            "--data-path FILE --question"
        )
    if question is not None:
        raise ConfigError(f"--question is for a folder of images; {str(path)!r} brings its own questions")
    return _FILES[path.suffix.lower()]
