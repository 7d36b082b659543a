"""A run's answers as JSON Lines, CSV and samples of lmms-eval: every row, errors and hostile texts among them."""

import csv
import json
from pathlib import Path

import pytest

from pipelines.runs import stored
from pipelines.runs.export import export
from pipelines.runs.rows import SCHEMA
from saccade.errors import ConfigError
from tests.pipelines.written_run import HOSTILE, answer, error_row, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(
        tmp_path / "run",
        [answer(0, 'two\nlines, "quoted"', 0.5, 0.9), answer(1, HOSTILE, None, 0.1), error_row(2, "E: x")],
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


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://evil.example","total")', '\'=HYPERLINK("http://evil.example","total")'),
        ("+1+1", "'+1+1"),
        ("@NOW()", "'@NOW()"),
        ("\t=1", "'\t=1"),
        ("-12.50", "-12.50"),
        ("- 1'200.00 CHF", "- 1'200.00 CHF"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("a=b", "a=b"),
    ],
)
def test_what_was_read_is_no_formula_in_a_spreadsheet(text: str, cell: str, tmp_path: Path) -> None:
    made = export(write_run(tmp_path / "run", [answer(0, text, 1.0, 0.9, question=text)]), "csv")
    with made.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["answer"], row["question"], row["score"]) == (cell, cell, "1.0")


def test_a_folder_without_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no answers"):
        export(tmp_path, "csv")
    assert list(tmp_path.iterdir()) == []


def test_lmms_eval_samples(tmp_path: Path) -> None:
    rows = [answer(0, "INV-8", 0.8, 0.9), answer(1, "ten", 0.3, 0.1) | {"metric": "vqa"}, error_row(2, "E: x")]
    ocr = {"metric": "contains", "metadata": json.dumps({"question_type": "HMER"})}
    run = write_run(tmp_path / "run", [*rows, answer(3, "a", 1.0, 0.9) | ocr])
    path = export(run, "lmms-eval")
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    assert path.name == f"samples_{stored.settings(run)['dataset']['name']}.jsonl"
    assert [sample["doc_id"] for sample in samples] == [0, 1, 2, 3]
    assert samples[0]["filtered_resps"] == ["INV-8"] and samples[0]["target"] == "['INV-7']"
    assert samples[0]["anls"] == 0.8 and samples[1]["exact_match"] == 0.3
    assert samples[2]["filtered_resps"] == [""] and samples[2]["anls"] == 0.0
    assert samples[3]["ocrbench_accuracy"] == {
        "question_type": "HMER",
        "score": 1.0,
        "prediction": "a",
        "ground_truth": ["INV-7"],
    }
    assert len({sample["doc_hash"] for sample in samples}) == 4
    kept = {"doc_id", "target", "filtered_resps", "doc_hash", "prompt_hash", "target_hash", "input", "question_id"}
    assert all(kept < set(sample) for sample in samples)
