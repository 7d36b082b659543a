"""A run's answers as JSON Lines and CSV: every row, every column, errors and hostile texts among them."""

import csv
import json
from pathlib import Path

import pytest

from pipelines.runs.export import export
from pipelines.runs.rows import SCHEMA
from saccade.errors import ConfigError
from tests.pipelines.written_run import HOSTILE, answer, failed, written


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return written(
        tmp_path / "run",
        [answer(0, 'two\nlines, "quoted"', 0.5, 0.9), answer(1, HOSTILE, None, 0.1), failed(2, "E: x")],
    )


def test_json_lines(run: Path) -> None:
    path = export(run, "jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert path == run / "answers.jsonl" and [list(row) for row in rows] == [SCHEMA.names] * 3
    assert [row["answer"] for row in rows] == ['two\nlines, "quoted"', HOSTILE, None]
    assert rows[0]["fixations"][1]["kept"] == list(range(20, 26)) and rows[1]["answers"] is None


def test_csv(run: Path) -> None:
    with export(run, "csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["answer"] for row in rows] == ['two\nlines, "quoted"', HOSTILE, ""]
    assert json.loads(rows[0]["answers"]) == ["INV-7"] and rows[2]["error"] == "E: x"
    assert json.loads(rows[0]["fixations"])[1]["kept"] == list(range(20, 26))


def test_a_folder_without_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no answers"):
        export(tmp_path, "csv")
    assert list(tmp_path.iterdir()) == []
