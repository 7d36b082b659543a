"""Several data sets as one, for one experiment over all of them; each question names its part.

    dataset: {name: mixed, parts: {simple: {name: synthscene}, complex: {name: synthdoc, page_px: 512}}}

Parts take turns, image by image, until all of them have ended: the first N questions hold some of each. Ids are
"simple:..."; a question's metadata holds its `part`.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from saccade.datasets import Dataset, Row, Skip, digest
from saccade.picture import Picture
from saccade.registry import load

PART = "part"
"""Key of a question's metadata that holds the name of its part."""


class Mixed(Dataset):
    """Several data sets in turn."""

    parts: dict[str, dict[str, Any]] = Field(min_length=1, description="Name -> a data set and its settings.")

    def rows(self) -> Iterator[Row | Skip]:
        each = [(name, iter(dataset.rows())) for name, dataset in self._parts.items()]
        for turn in itertools.zip_longest(*(rows for _, rows in each)):
            for (name, _), row in zip(each, turn, strict=True):
                if row is not None:
                    yield row if isinstance(row, Skip) else _of(name, row)

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        name, _, inner = source.partition(":")
        return self._parts[name].picture(inner, limit_px)

    def strangers(self, row: Row, count: int) -> tuple[str, ...]:
        name, _, source = row.source.partition(":")
        return self._parts[name].strangers(replace(row, source=source), count)

    def path(self, source: str) -> Path | None:
        name, _, inner = source.partition(":")
        return self._parts[name].path(inner)

    def fingerprint(self) -> str:
        return digest({name: dataset.fingerprint() for name, dataset in self._parts.items()})

    @property
    def _parts(self) -> dict[str, Dataset]:
        return {name: load("datasets", spec, Dataset) for name, spec in self.parts.items()}


def _of(part: str, row: Row) -> Row:
    """A row of a part, with the part's name before its ids."""
    questions = tuple(
        replace(question, id=f"{part}:{question.id}", metadata={**question.metadata, PART: part})
        for question in row.questions
    )
    return Row(f"{part}:{row.image_id}", f"{part}:{row.source}", questions)
