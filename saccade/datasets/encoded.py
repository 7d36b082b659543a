"""Pages of another data set as encoded files: JPEG or PNG bytes, which must be decoded.

    dataset: {name: encoded, of: {name: synthdoc, page_px: 1024}, kind: JPEG}

Generated pages are pixels from the start, and reading them costs nothing; a profile of where the time goes needs files.
"""

import io
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from PIL import Image
from pydantic import Field

from saccade.datasets import Dataset, Row, Skip, digest
from saccade.picture import Picture
from saccade.registry import load


class Encoded(Dataset):
    """Another data set, each image encoded as a file."""

    of: dict[str, Any] = Field({"name": "synthdoc"}, description="A data set and its settings: {name: synthdoc, ...}.")
    kind: Literal["JPEG", "PNG"] = Field("JPEG", description="JPEG, at quality 90, or PNG.")

    def rows(self) -> Iterator[Row | Skip]:
        return self._of.rows()

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        return Picture(partial(_file, self._of, source, self.kind), limit_px)

    def fingerprint(self) -> str:
        return digest(self.kind, self._of.fingerprint())

    @property
    def _of(self) -> Dataset:
        return load("datasets", self.of, Dataset)


def _file(of: Dataset, source: str, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(of.picture(source).rgb).save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return buffer.getvalue()
