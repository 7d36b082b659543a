"""A run's answers as one JSON Lines or CSV file, for tools that read no Parquet: the same columns, row by row."""

import csv
import json
from pathlib import Path
from typing import Any, Literal

from pipelines.runs import stored
from pipelines.runs.files import replaced
from pipelines.runs.rows import SCHEMA

Format = Literal["jsonl", "csv"]


def export(folder: Path, kind: Format) -> Path:
    """Writes DIR/answers.jsonl or DIR/answers.csv, whole or not at all; its path.

    In CSV what is a list or has parts (answers, fixations, seconds) is JSON in its cell; null is an empty cell.

    Raises:
        ConfigError: the folder holds no answers.
    """
    stored.check(folder)
    target = folder / f"answers.{kind}"
    with replaced(target) as path, path.open("w", encoding="utf-8", newline="") as file:
        rows = stored.rows(folder, cells=True)
        if kind == "jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            table = csv.DictWriter(file, SCHEMA.names)
            table.writeheader()
            table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return target


def _cell(value: Any) -> Any:
    """A value as a cell holds it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
