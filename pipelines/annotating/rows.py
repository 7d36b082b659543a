"""A page as a row of a table, as a JSON line, as lines to review, and as labelled questions."""

import base64
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.annotating.pages import Page, Value
from saccade.annotation.fields import FieldSpec
from saccade.datasets import Dataset
from saccade.datasets._fields import printable

TYPES = {
    "text": pa.string(),
    "number": pa.float64(),
    "date": pa.date32(),
    "money": pa.float64(),
    "choice": pa.string(),
    "yes/no": pa.bool_(),
}
"""Of the value of a field, by the field's type."""

COLUMN_TYPES = {
    "text": pa.string(),
    "confidence": pa.float64(),
    "box": pa.list_(pa.int32()),  # x0, y0, x1, y1: pixels of the image as displayed
    "flag": pa.string(),
    "currency": pa.string(),
}


def schema(fields: Sequence[FieldSpec]) -> pa.Schema:
    """The columns of a data set of these fields."""
    columns = [("image", pa.string()), ("page", pa.int32()), ("width", pa.int32()), ("height", pa.int32())]
    for field in fields:
        columns.append((field.name, TYPES[field.type]))
        columns += [(column, COLUMN_TYPES[column.rpartition("_")[2]]) for column in field.columns[1:]]
    return pa.schema([*columns, ("review", pa.bool_()), ("reviewed", pa.list_(pa.string()))])


def table_row(page: Page) -> dict[str, Any]:
    """One row of `schema`. A value that does not fit its type is null; `F_text` holds what was read."""
    row: dict[str, Any] = {"image": page.image, "page": page.page, "width": page.width, "height": page.height}
    for value in page.values:
        name = value.field.name
        row |= {name: value.parsed.value, f"{name}_text": value.text, f"{name}_confidence": value.confidence}
        row |= {f"{name}_box": value.box_px, f"{name}_flag": value.flag, f"{name}_currency": value.parsed.currency}
    reviewed = [value.field.name for value in page.values if value.by_person]
    return {**row, "review": page.review, "reviewed": reviewed}


def json_line(page: Page) -> dict[str, Any]:
    """A page as a JSON object: its values, each with its looks and tokens."""
    place = {"image": page.image, "page": page.page, "width": page.width, "height": page.height}
    values = {value.field.name: {"value": _plain(value), **_about(value)} for value in page.values}
    return {**place, "fields": values, "review": page.review}


def review_lines(page: Page) -> Iterator[dict[str, Any]]:
    """JSON objects of the values of a page that need review."""
    for value in page.values:
        if value.flag is not None:
            place = {"image": page.image, "page": page.page, "field": value.field.name}
            yield {**place, "value": _plain(value), **_about(value)}


def labels(page: Page, file: Path | None, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """The values of a page that need no review as lines of a `jsonl` data set. `file`: an image of the page alone, if
    there is one; a page without any stands in the lines."""
    image = None
    for value in page.values:
        if value.flag is not None or not value.text.strip():
            continue
        image = image or _image(page, file, dataset)
        line: dict[str, Any] = {"id": f"{page.image_id}:{value.field.name}", "image": image}
        line |= {"question": value.field.asked, "answers": [value.text]}
        if value.box_px is not None:
            line["answer_boxes"] = [value.box_px]
        yield line if page.page is None else {**line, "page": page.page}


def _plain(value: Value) -> Any:
    """The typed value as JSON."""
    typed = value.parsed.value
    return typed.isoformat() if isinstance(typed, datetime.date) else typed


def _about(value: Value) -> dict[str, Any]:
    money = {"currency": value.parsed.currency} if value.field.type == "money" else {}
    return {
        "text": value.text,
        **money,
        "confidence": value.confidence,
        "box": value.box_px,
        "flag": value.flag,
        "error": value.error,
        "fixations": value.fixations,
        "tokens": value.tokens,
        "by": "person" if value.by_person else "model",
    }


def _image(page: Page, file: Path | None, dataset: Dataset) -> str:
    """The image's own file, or else that of the page, or its bytes as a data: URI where neither has a Unicode name."""
    for path in (page.path, file):
        if path is not None and printable(str(path)) == str(path):
            return str(path)
    data = dataset.picture(page.source).data
    assert isinstance(data, bytes)  # data sets of images hold encoded ones
    return f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
