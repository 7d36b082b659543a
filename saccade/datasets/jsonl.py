"""Questions in a JSON Lines file beside its images, one line a question. Boxes are pixels of the image as displayed.

    {"id": "006-date", "image": "images/006.jpg", "question": "What is the date?", "answers": ["11/01/2019"],
     "answer_boxes": [[294, 356, 433, 375]]}

`image` is relative to the file. `answers` (a list of accepted answers; null or left out: hidden) and `answer_boxes`
(x0, y0, x1, y1) are optional; other keys are ignored. Lines of one image become one row.

    saccade batch --dataset path/to/questions.jsonl --output runs/mine
"""

import hashlib
import json
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from saccade.datasets import Dataset, Row, Skip, digest
from saccade.datasets._fields import DataPath, Listed, existing, grouped, printable, to_question, wrong
from saccade.errors import describe
from saccade.picture import Picture


class JsonLines(Dataset):
    """Questions of a .jsonl file about images beside it."""

    data_path: DataPath

    def rows(self) -> Iterator[Row | Skip]:
        existing(self.data_path, "file")
        return grouped(self._listed(), f"the file {self.data_path!r}")

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        return Picture.open(Path(self.data_path).parent / source, limit_px)

    def fingerprint(self) -> str:
        """Of the file's content."""
        with existing(self.data_path, "file").open("rb") as file:
            return digest(hashlib.file_digest(file, "sha256").hexdigest())

    def _listed(self) -> Iterator[Listed | Skip]:
        path = Path(self.data_path)
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parse(line, f"{path.name}:{number}")


def _parse(line: bytes, where: str) -> Listed | Skip:
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested beyond reason
        return Skip("bad_json", where)
    if not isinstance(fields, dict):
        return Skip("bad_json", where)
    question = to_question(fields, where)
    if isinstance(question, Skip):
        return question
    image = fields["image"]
    if not isinstance(image, str) or printable(image) != image:
        error = wrong("image", image, "the path of an image file")
        return Listed(f"image of {question.id}", "", replace(question, error=describe(error)), where)
    image = posixpath.normpath(image)  # "./a.png" and "a.png" are one image
    return Listed(image, image, question, where)
