"""The images of another data set, each asked for the same fields: what `saccade annotate` answers.

    {"name": "fields", "images": {"name": "folder", ...}, "fields": [{"name": "total", "question": "What is ...?"}]}

    scans/a.jpg  ->  image id "a.jpg", question ids "a.jpg:company", "a.jpg:date", ...

Questions that the other data set may have are not asked. `only` names a file of JSON lines [image id, field]: what is
not listed there is left out, and so are images of which no field is listed.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from saccade.annotation.fields import FieldList, FieldSpec
from saccade.datasets import Dataset, Row, Skip, digest
from saccade.datasets._fields import existing
from saccade.picture import Picture
from saccade.registry import load
from saccade.types import Question

FIELD = "field"
"""Key of a question's metadata that holds the name of its field."""


class Fields(Dataset):
    """Questions for the same fields about every image."""

    images: dict[str, Any] = Field(description="The data set whose images are asked, with its settings.")
    fields: tuple[FieldSpec, ...] = Field(min_length=1, description="What is asked of each.")
    only: str | None = Field(None, description="File of JSON lines [image id, field]: nothing else is asked.")

    def rows(self) -> Iterator[Row | Skip]:
        listed = self._listed()
        for row in self._images.rows():
            if isinstance(row, Skip):
                yield row
                continue
            fields = [field for field in self._fields if listed is None or (row.image_id, field.name) in listed]
            if fields:
                yield Row(row.image_id, row.source, tuple(_asked(row, field) for field in fields))

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        return self._images.picture(source, limit_px)

    def path(self, source: str) -> Path | None:
        return self._images.path(source)

    def fingerprint(self) -> str:
        """A hash of the fields, the images' data set, and the list `only`."""
        fields = [field.dump() for field in self._fields]
        listed = None
        if self.only is not None:
            listed = hashlib.sha256(existing(self.only, "file").read_bytes()).hexdigest()
        return digest(fields, self._images.fingerprint(), listed)

    @cached_property
    def _fields(self) -> tuple[FieldSpec, ...]:
        return FieldList(fields=self.fields).fields

    @cached_property
    def _images(self) -> Dataset:
        return load("datasets", self.images, Dataset)

    def _listed(self) -> set[tuple[str, str]] | None:
        if self.only is None:
            return None
        lines = existing(self.only, "file").read_text().splitlines()
        return {(image_id, field) for image_id, field in map(json.loads, lines)}


def _asked(row: Row, field: FieldSpec) -> Question:
    """The question for one field of one image. It keeps an error of the image's own question."""
    first = row.questions[0]
    page = {"page": first.metadata["page"]} if "page" in first.metadata else {}
    about, name = {**page, FIELD: field.name}, f"{row.image_id}:{field.name}"
    pattern = None if field.allowed else field.pattern
    return Question(name, field.asked, metadata=about, error=first.error, choices=field.allowed, pattern=pattern)
