"""The pages of an annotation with their values: rows of the run's answers, parsed, located, corrected by people.

Reading is deterministic: the same answers and corrections give the same pages. No page is left out: one without any
answer has a flagged value for each field.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.annotating.corrections import Correction, read_corrections
from pipelines.annotating.places import Places
from pipelines.annotating.settings import dataset_of, read_settings
from pipelines.runs import manifest
from pipelines.runs.files import read_parquet
from saccade.annotation.evidence import box_px
from saccade.annotation.fields import FieldSpec
from saccade.annotation.values import Parsed, parse
from saccade.datasets import Row
from saccade.datasets.fields import Fields
from saccade.errors import PictureError

Box = tuple[int, int, int, int]
COLUMNS = ("id", "answer", "confidence", "visual_tok", "error", "grid", "fixations", "attended")
PLACE = ("width_px", "height_px", "evidence_px")  # earlier runs do not have these


@dataclass(frozen=True, slots=True)
class Value:
    """The value of one field of one page, and how it was read."""

    field: FieldSpec
    text: str = ""  # as it was read, or as a person says it is
    read: str = ""  # as it was read
    parsed: Parsed = Parsed(None)
    confidence: float = 0.0  # the model's, also where a person corrected it
    box_px: Box | None = None  # x0, y0, x1, y1 of the image as displayed
    flag: str | None = None  # why a person should see it
    error: str | None = None
    fixations: int = 0
    tokens: int = 0
    by_person: bool = False

    @property
    def shown(self) -> str:
        """The value as text: a date as 2024-03-31, a missing value as ""."""
        value = self.parsed.value
        if isinstance(value, bool):
            return "yes" if value else "no"
        return self.text if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Page:
    """One page with one value per field, in the order of the fields."""

    number: int  # in the run's manifest
    image_id: str
    image: str  # the id without the page
    page: int | None  # of a file that has several
    source: str
    path: Path | None  # of the image's file, where it has one
    width: int | None  # px of the image as displayed; None: it cannot be opened
    height: int | None
    values: tuple[Value, ...] = field(default=())

    @property
    def review(self) -> bool:
        """Whether a person should see any of its values."""
        return any(value.flag is not None for value in self.values)


def read_pages(folder: Path) -> Iterator[Page]:
    """All pages of an annotation in the data set's order; with `--from-run` also those of the earlier run.

    Raises:
        ConfigError: the folder does not hold an annotation.
    """
    settings, dataset = read_settings(folder), dataset_of(folder)
    corrections = read_corrections(Places(folder).corrections)
    if settings.from_run is None or not settings.relabel_failed:
        yield from (_corrected(page, corrections) for page in _own(folder, dataset, settings.review_below))
        return
    again = {page.image_id: page for page in _own(folder, dataset, settings.review_below)}
    for page in read_pages(settings.from_run):
        taken = tuple(_graded(value, settings.review_below) for value in page.values)
        new = again.get(page.image_id)
        fresh = {value.field.name: value for value in new.values} if new is not None else {}
        merged = tuple(_better(value, fresh.get(value.field.name, value)) for value in taken)
        known = new if new is not None and new.width is not None else page  # the earlier run may have seen the image
        yield _corrected(replace(known, number=page.number, values=merged), corrections)


def _better(earlier: Value, fresh: Value) -> Value:
    """What was read again, unless a person has said the value since, or it failed where there was something before."""
    return earlier if earlier.by_person or (fresh.error is not None and earlier.error is None) else fresh


def _own(folder: Path, dataset: Fields, review_below: float) -> Iterator[Page]:
    """The pages that this run itself read."""
    fields = {each.name: each for each in dataset.fields}
    places = Places(folder)
    for number, row in manifest.read(places.manifest):
        file = places.file_of(number)
        rows = read_parquet(file, COLUMNS + PLACE).to_pylist() if file.exists() else []
        yield _page(number, row, dataset, {each["id"]: each for each in rows}, fields, review_below)


def _page(
    number: int,
    row: Row,
    dataset: Fields,
    answered: Mapping[str, Mapping[str, Any]],
    fields: Mapping[str, FieldSpec],
    review_below: float,
) -> Page:
    size = _size_px(row, dataset, answered.values())
    page = row.questions[0].metadata.get("page")
    values = [
        _graded(_value(fields[str(question.metadata["field"])], answered.get(question.id), size), review_below)
        for question in row.questions
    ]
    return Page(
        number=number,
        image_id=row.image_id,
        image=row.image_id.removesuffix(f"#page={page}"),
        page=page,
        source=row.source,
        path=dataset.path(row.source),
        width=size and size[0],
        height=size and size[1],
        values=tuple(values),
    )


def _size_px(row: Row, dataset: Fields, answered: Iterable[Mapping[str, Any]]) -> tuple[int, int] | None:
    """(width, height) of the image as displayed. Its rows say it: by now the image itself may be out of reach."""
    for each in answered:
        if each.get("width_px"):
            return each["width_px"], each["height_px"]
    try:
        return dataset.picture(row.source).size_px
    except PictureError:
        return None


def _value(spec: FieldSpec, row: Mapping[str, Any] | None, size: tuple[int, int] | None) -> Value:
    if row is None or row["error"] is not None:
        return Value(spec, error="not answered yet" if row is None else row["error"])
    if row.get("width_px"):
        box = row["evidence_px"] and tuple(row["evidence_px"])
    else:
        box = None if size is None else box_px(row, *size)
    return Value(
        spec,
        text=row["answer"],
        read=row["answer"],
        parsed=parse(spec, row["answer"]),
        confidence=row["confidence"],
        box_px=box,
        fixations=len(row["fixations"]),
        tokens=row["visual_tok"],
    )


def _graded(value: Value, review_below: float) -> Value:
    """The value, flagged with the reason why a person should see it, if there is one."""
    if value.by_person:
        return value
    if value.error is not None:
        return replace(value, flag="error")
    empty = value.parsed.value is None and not value.text.strip()
    unsure = "unsure" if value.confidence < review_below and not (empty and not value.field.required) else None
    return replace(value, flag=value.parsed.flag or unsure)


def _corrected(page: Page, corrections: Mapping[tuple[str, str], Correction]) -> Page:
    return replace(page, values=tuple(_by_person(value, page, corrections) for value in page.values))


def _by_person(value: Value, page: Page, corrections: Mapping[tuple[str, str], Correction]) -> Value:
    """The value, replaced by a person's correction if there is one; a corrected value needs no review."""
    correction = corrections.get((page.image_id, value.field.name))
    if correction is None:
        return value
    parsed = replace(parse(value.field, correction.text), flag=None)
    accepted = correction.text.split() == value.read.split()
    box = value.box_px if accepted else None  # it is evidence only of what the model read
    return replace(value, text=correction.text, parsed=parsed, box_px=box, flag=None, error=None, by_person=True)
