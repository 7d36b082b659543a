"""The list of a run's images: Parquet, one row per image, in the data set's order. Written once, by the driver.

    number (int64), image_id, source (string), questions (string, JSON)

`number` is the image's place in the list and the name of its file of answers.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.runs.files import read_parquet, write_parquet
from saccade.datasets import Row, Skip
from saccade.errors import ConfigError
from saccade.files import replaced, write_text
from saccade.types import Question

SCHEMA = pa.schema(
    [("number", pa.int64()), ("image_id", pa.string()), ("source", pa.string()), ("questions", pa.string())]
)


def write(rows: Iterable[Row | Skip], manifest: Path, skipped: Path) -> None:
    """Writes the manifest, and what was skipped as JSON lines; the manifest last, whole or not at all."""
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    skips: list[Skip] = []
    for row in rows:
        if isinstance(row, Skip):
            skips.append(row)
            continue
        columns["number"].append(len(columns["number"]))
        columns["image_id"].append(row.image_id)
        columns["source"].append(row.source)
        columns["questions"].append(text_of(row.questions))
    write_text(skipped, "".join(json.dumps(asdict(skip)) + "\n" for skip in skips))
    write_table(pa.table(columns, schema=SCHEMA), manifest)


def write_table(table: pa.Table, path: Path) -> None:
    """A Parquet file that appears whole or not at all."""
    with replaced(path) as temporary:
        write_parquet(table, temporary)


def text_of(questions: Iterable[Question]) -> str:
    """The `questions` column of one image."""
    return json.dumps([asdict(question) for question in questions], default=str)


def questions_of(text: str) -> tuple[Question, ...]:
    """The questions of one row of the manifest."""
    return tuple(_question(fields) for fields in json.loads(text))


def _question(fields: dict[str, Any]) -> Question:
    for name in ("answer_boxes_uv", "answer_boxes_px"):
        fields[name] = tuple(tuple(box) for box in fields[name])
    fields["choices"] = tuple(fields.get("choices", ()))  # a manifest of an older saccade has none
    if fields["answers"] is not None:
        fields["answers"] = tuple(fields["answers"])
    return Question(**fields)


def read(path: Path) -> Iterator[tuple[int, Row]]:
    """The images of a manifest with their numbers. Raises ConfigError as `find`."""
    for row in _listed(path).to_pylist():
        yield row["number"], Row(row["image_id"], row["source"], questions_of(row["questions"]))


def _listed(path: Path) -> pa.Table:
    if not path.exists():
        raise ConfigError(
            f"{path} is not there, perhaps because a copy left out what is hidden: the command that made the run lists "
            "its images again (with --resume)"
        )
    return read_parquet(path)


def num_images(path: Path) -> int:
    """Images that a manifest lists."""
    return int(read_parquet(path, ["number"]).num_rows)


def num_questions(path: Path) -> int:
    """Questions that a manifest lists."""
    return sum(len(json.loads(text)) for text in read_parquet(path, ["questions"])["questions"].to_pylist())


def find(path: Path, image_id: str) -> Row:
    """One image of a manifest.

    Raises:
        ConfigError: it lists no such image, or is not there.
    """
    table = _listed(path)
    listed = table.filter(pc.equal(table["image_id"], image_id)).to_pylist()
    if not listed:
        raise ConfigError(f"{path} lists no image {image_id!r}")
    return Row(image_id, listed[0]["source"], questions_of(listed[0]["questions"]))


def skips(path: Path) -> Iterator[Skip]:
    """What was skipped when the manifest was written."""
    for line in path.read_text().splitlines():
        yield Skip(**json.loads(line))
