"""Questions in a JSON file beside its images, one object per question. Boxes are pixels of the image as displayed.

    {"id": "006-date", "image": "images/006.jpg", "question": "What is the date?", "answers": ["11/01/2019"],
     "answer_boxes": [[294, 356, 433, 375]]}

One object per line, objects over several lines, or one array; UTF-8, or UTF-16 with its mark. `id` may be called
`question_id`. `image` is a path relative to the file, a data: URI, or base64. `answers` (a list of accepted answers,
or one; null or left out: hidden), `answer_boxes` (x0, y0, x1, y1; where no number is above 1, shares of the image's
sides) and `page` (of a PDF or TIFF; left out: each page is asked) are optional; other keys are ignored. Questions of
one image become one row.

    saccade batch --dataset path/to/questions.jsonl --output runs/mine
"""

import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import Field

from saccade.datasets import Dataset, Row, Skip, asking, digest
from saccade.datasets._fields import DataPath, Listed, existing, grouped, printable, to_question, wrong
from saccade.datasets._images import embedded, name_of, path_of
from saccade.datasets._pages import Pager, split
from saccade.datasets._text import Record, read_again, records
from saccade.datasets._walk import located
from saccade.decoding.pages import Pages
from saccade.errors import ConfigError, DataError, PictureError, describe
from saccade.metrics.scoring import MetricName
from saccade.picture import Picture
from saccade.types import Question

INSIDE = "//"  # a source that is no path: the picture stands in the file itself


class JsonLines(Dataset):
    """Questions of a .jsonl or .json file about images beside it, or inside it."""

    data_path: DataPath
    question: str | None = Field(None, min_length=1, description="Asked of lines without one, which then need no id.")
    pages: Pages = None
    metric: MetricName = Field("anls", description="How answers are scored (`saccade list metrics`).")

    def rows(self) -> Iterator[Row | Skip]:
        existing(self.data_path, "file")
        return grouped(self._listed(), f"the file {self.data_path!r}")

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        source, page = split(source)
        path = Path(self.data_path)
        if source.startswith(INSIDE):
            return Picture(partial(_inside, path, source.removeprefix(INSIDE)), limit_px, page)
        return Picture.open(located(path.parent, source), limit_px, page)

    def path(self, source: str) -> Path | None:
        source, _ = split(source)
        return None if not source or source.startswith(INSIDE) else located(Path(self.data_path).parent, source)

    def fingerprint(self) -> str:
        """A hash of the file's content, and of the question, the metric and the pages where they are set."""
        path = existing(self.data_path, "file")
        try:
            with path.open("rb") as file:
                return digest(hashlib.file_digest(file, "sha256").hexdigest(), *asking(self))
        except OSError as error:
            raise ConfigError(f"cannot read {str(path)!r}: {error.strerror or error}") from error

    def _listed(self) -> Iterator[Listed | Skip]:
        path, pager = Path(self.data_path), Pager(self.pages)
        for record in records(path):
            if isinstance(record, Skip):
                yield record
                continue
            defaults = {} if self.question is None else {"id": record.where, "question": self.question}
            question = to_question({**defaults, **record.fields}, record.where, metric=self.metric)
            if isinstance(question, Skip):
                yield question
                continue
            item, data = _listed(record, question)
            yield from pager.spread(item, data or located(path.parent, item.source), record.fields.get("page"))


def _listed(record: Record, question: Question) -> tuple[Listed, bytes | None]:
    """The question with its image, and the image's bytes if the record contains them."""
    image = record.fields["image"]
    try:
        if (data := embedded(image)) is not None:
            return Listed(name_of(data), f"{INSIDE}{record.place}", question, record.where), data
        path = path_of(image)
        if path is None or printable(path) != path or "\0" in path:
            raise wrong("image", image, "the path of an image file, a data: URI, or base64")
    except DataError as error:
        question = replace(question, error=question.error or describe(error))
        return Listed(f"image of {question.id}", "", question, record.where), None
    path = posixpath.normpath(path)  # "./a.png" and "a.png" are one image
    if path.startswith(INSIDE):  # POSIX leaves two slashes at the beginning as they are
        path = path[1:]
    return Listed(path, path, question, record.where), None


def _inside(path: Path, place: str) -> bytes:
    """The bytes of a picture that the JSON file itself contains."""
    try:
        data = embedded(read_again(path, place).get("image"))
    except PictureError:
        raise
    except DataError as error:
        raise PictureError(str(error)) from error
    if data is None:
        raise PictureError(f"{place} of {str(path)!r} holds no image any more: the file has changed")
    return data
