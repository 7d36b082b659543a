"""A run's answers as one file for other tools: JSON Lines, CSV, or the samples that lmms-eval logs.

JSON Lines and CSV have the columns of `answers/*.parquet`, row by row. A line of lmms-eval's samples
(https://github.com/EvolvingLMMs-Lab/lmms-eval, `--log_samples`) is

    {"doc_id": 0, "target": "['0.28']", "filtered_resps": ["0.28"], "doc_hash": "...", "prompt_hash": "...",
     "target_hash": "...", "anls": 1.0, "input": "What is the 'actual' value?", "question_id": "49153"}

`doc_id` counts the lines, `question_id` is added, and hashes are of what a row holds: the question and its answers.
"""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TextIO

from pipelines.runs import stored
from pipelines.runs.rows import SCHEMA
from saccade.files import replaced

Format = Literal["jsonl", "csv", "lmms-eval"]
Rows = Iterable[Mapping[str, Any]]

LMMS_EVAL = {"vqa": "exact_match", "words": "exact_match", "exact": "exact_match", "relaxed": "relaxed_overall"}
"""What lmms-eval's tasks call a metric, where that is not its name here."""
FORMULA = re.compile(r"[=+@\t\r]|-(?!\s?[\d.,'’ ]+\s?[A-Za-z€$£%]{0,3}$)")
"""What makes a cell's text a formula in a spreadsheet: `-` too, unless all of it is a negative amount."""
OCRBENCH = ("contains", "formula")


def export(folder: Path, kind: Format) -> Path:
    """Writes DIR/answers.jsonl, DIR/answers.csv or DIR/samples_DATASET.jsonl, whole or not at all; its path.

    In CSV, lists and values with parts (answers, fixations, seconds) are JSON in their cell; null is an empty cell. A
    text that a spreadsheet would run as a formula has a single quote before it: what a page says is not to be trusted.

    Raises:
        ConfigError: the folder holds no answers.
    """
    stored.check(folder)
    target, write = folder / f"answers.{kind}", WRITERS[kind]
    if kind == "lmms-eval":
        target = folder / f"samples_{stored.settings(folder)['dataset']['name']}.jsonl"
    with replaced(target) as path, path.open("w", encoding="utf-8", newline="") as file:
        write(stored.rows(folder, cells=True), file)
    return target


def _jsonl(rows: Rows, file: TextIO) -> None:
    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv(rows: Rows, file: TextIO) -> None:
    table = csv.DictWriter(file, SCHEMA.names)
    table.writeheader()
    table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    """A value as a cell holds it."""
    if isinstance(value, str) and FORMULA.match(value):
        return f"'{value}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _samples(rows: Rows, file: TextIO) -> None:
    file.writelines(json.dumps(_sample(number, row), ensure_ascii=False) + "\n" for number, row in enumerate(rows))


def _sample(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """One row as lmms-eval logs it; an error row answers nothing."""
    target, name = str(row["answers"]), row["metric"] or "anls"
    worth: Any = row["score"]
    if name in OCRBENCH:
        about = json.loads(row["metadata"] or "{}")
        worth = {"question_type": about.get("question_type"), "score": row["score"], "prediction": row["answer"] or ""}
        worth["ground_truth"] = row["answers"]
    return {
        "doc_id": number,
        "target": target,
        "filtered_resps": [row["answer"] or ""],
        "doc_hash": _hash(json.dumps({key: row[key] for key in ("id", "question", "answers")}, ensure_ascii=False)),
        "prompt_hash": _hash(row["question"]),
        "target_hash": _hash(target),
        "ocrbench_accuracy" if name in OCRBENCH else LMMS_EVAL.get(name, name): worth,
        "input": row["question"],
        "question_id": row["id"],
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


WRITERS: dict[Format, Callable[[Rows, TextIO], None]] = {"jsonl": _jsonl, "csv": _csv, "lmms-eval": _samples}
