"""Writes a run's answers as the files of its data set. The same answers and corrections give the same files."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from pipelines.annotating import labelstudio, rows
from pipelines.annotating.coco import Coco
from pipelines.annotating.pages import Page, read_pages
from pipelines.annotating.places import Places
from pipelines.annotating.settings import dataset_of
from pipelines.annotating.shown import shown
from pipelines.runs import stored
from pipelines.runs.files import write_parquet
from saccade.files import replaced, write_text

PAGES_PER_FILE = 10_000


@dataclass
class Exported:
    """Counts of an export, and its first page."""

    pages: int = 0
    values: int = 0
    review: int = 0  # values that a person should see
    review_pages: int = 0
    by_person: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    first: Page | None = None  # the first page with a value that fits, or else the first

    def count(self, page: Page) -> None:
        """Counts a page."""
        self.pages += 1
        self.values += len(page.values)
        self.by_person += sum(value.by_person for value in page.values)
        flags = [value.flag for value in page.values if value.flag is not None]
        self.review += len(flags)
        self.review_pages += page.review
        self.flags.update(flags)
        if self.first is None or (_best(page) > 0 and _best(self.first) == 0):
            self.first = page


def _best(page: Page) -> int:
    return sum(value.flag is None for value in page.values)


def export(folder: Path) -> Exported:
    """Writes all files of an annotation's data set (`pipelines.annotating.places`), each atomically.

    Raises:
        ConfigError: the folder does not hold an annotation.
    """
    places, dataset = Places(folder), dataset_of(folder)
    version = _version(folder)
    coco, exported, shard = Coco(dataset.fields), Exported(), 0
    schema, waiting = rows.schema(dataset.fields), list[dict[str, Any]]()
    with ExitStack() as stack:
        pages_file = stack.enter_context(_writing(places.annotations_jsonl))
        review_file = stack.enter_context(_writing(places.review_jsonl))
        labels_file = stack.enter_context(_writing(places.labels_jsonl))
        tasks_file = stack.enter_context(_writing(places.labelstudio_json))
        tasks_file.write("[")
        for page in read_pages(folder):
            image = shown(page, dataset, places.pages)
            tasks_file.write((",\n" if exported.pages else "\n") + _line(labelstudio.task(page, image, version)))
            exported.count(page)
            coco.add(page, image)
            pages_file.write(_line(rows.json_line(page)) + "\n")
            review_file.writelines(_line(line) + "\n" for line in rows.review_lines(page))
            labels_file.writelines(_line(line) + "\n" for line in rows.labels(page, image, dataset))
            waiting.append(rows.table_row(page))
            if len(waiting) == PAGES_PER_FILE:
                shard = _write_shard(places.annotations, shard, waiting, schema)
        tasks_file.write("\n]\n")
    if waiting or not shard:
        shard = _write_shard(places.annotations, shard, waiting, schema)
    _remove_from(places.annotations, shard)
    write_text(places.labelstudio_xml, labelstudio.interface(dataset.fields))
    write_text(places.coco_json, json.dumps(coco.dump(), ensure_ascii=False) + "\n")
    return exported


def outdated(folder: Path) -> bool:
    """Whether people have corrected values since the data set's files were written, as the last of them says."""
    places = Places(folder)
    if not places.corrections.exists():
        return False
    written = places.coco_json.stat().st_mtime_ns if places.coco_json.exists() else 0
    return places.corrections.stat().st_mtime_ns >= written


def _write_shard(folder: Path, number: int, waiting: list[dict[str, Any]], schema: pa.Schema) -> int:
    """Writes the waiting rows as one file and clears them; returns the number of the next file."""
    with replaced(folder / f"{number:05d}.parquet") as path:
        write_parquet(pa.Table.from_pylist(waiting, schema), path, compression="zstd")
    waiting.clear()
    return number + 1


def _remove_from(folder: Path, shard: int) -> None:
    """Removes files from `shard` on, left by an earlier export of more pages."""
    for path in folder.glob("*.parquet"):
        if path.stem.isdigit() and int(path.stem) >= shard:
            path.unlink()


def _version(folder: Path) -> str:
    """The version of saccade and the model's name, by which Label Studio distinguishes predictions."""
    settings = stored.settings(folder)
    return f"saccade {settings['versions']['saccade']}, {Path(settings['engine']['model']).name}"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _writing(path: Path) -> Iterator[TextIO]:
    with replaced(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file
        file.flush()
