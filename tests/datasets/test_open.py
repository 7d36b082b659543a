"""From what a user types to a data set, the limit in questions, and what importing costs."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.datasets import Row, Skip, limit, open_dataset
from saccade.errors import ConfigError, UnknownName
from saccade.types import Question

ROOT = Path(__file__).parents[2]


def row(image_id: str, num_questions: int) -> Row:
    return Row(image_id, image_id, tuple(Question(f"{image_id}{n}", "?") for n in range(num_questions)))


ROWS = [Skip("no_id", "x:1"), row("a", 2), row("b", 3), Skip("no_id", "x:9"), row("c", 1)]


@pytest.mark.parametrize(
    ("num_questions", "kept"),
    [(1, [1]), (2, [2]), (3, [2, 1]), (5, [2, 3]), (6, [2, 3, 1]), (99, [2, 3, 1]), (None, [2, 3, 1])],
)
def test_limit_counts_questions_and_cuts_only_the_last_image(num_questions: int | None, kept: list[int]) -> None:
    rows = [r for r in limit(ROWS, num_questions) if isinstance(r, Row)]
    assert [len(r.questions) for r in rows] == kept
    assert [r.questions for r in rows[:-1]] == [r.questions for r in (ROWS[1], ROWS[2])][: len(rows) - 1]


def test_limit_reads_no_further_than_it_must() -> None:
    def endless() -> Iterator[Row | Skip]:
        yield from ROWS[:2]
        raise AssertionError("read on")

    assert len(list(limit(endless(), 2))) == 2


def test_a_limit_below_one_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="--limit 0 must be at least 1 question"):
        limit(ROWS, 0)


def test_a_path_says_which_data_set_reads_it(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").touch()
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "in" / "x.parquet")
    assert open_dataset(str(tmp_path / "q.jsonl")).name() == "jsonl"
    assert open_dataset(str(tmp_path / "in" / "x.parquet")).name() == "parquet"
    assert open_dataset(str(tmp_path)).name() == "parquet"
    assert open_dataset(str(tmp_path), question="?").name() == "folder"
    assert open_dataset("jsonl", data_path=tmp_path / "q.jsonl") == open_dataset(str(tmp_path / "q.jsonl"))


def test_a_name_wins_over_a_folder_and_a_folder_without_a_slash_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("docvqa", "my.scans"):
        Path(name).mkdir()
    assert open_dataset("docvqa", data_path="x").name() == "docvqa"
    assert open_dataset("./docvqa", question="?").name() == "folder"
    assert open_dataset("my.scans", question="?").name() == "folder"


def test_synthdoc_takes_the_page_size_and_others_ignore_it(tmp_path: Path) -> None:
    assert open_dataset("synthdoc", page_px=256).spec()["page_px"] == 256
    with pytest.raises(ConfigError, match=r"data set 'jsonl' takes no --page-px \(got 256\)"):
        open_dataset("jsonl", data_path="q.jsonl", page_px=256)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (
            {"dataset": "docvqua"},
            UnknownName,
            "no data set named 'docvqua'. Did you mean 'docvqa'? In saccade/datasets/: chartqa, docvqa, encoded",
        ),
        ({"dataset": "docvqua"}, UnknownName, "Nor is there a file or folder 'docvqua': a path to questions.jsonl"),
        ({"dataset": "no.such.module"}, UnknownName, "Nor is there a file or folder 'no.such.module'"),
        ({"dataset": "./no"}, ConfigError, "there is no file or folder 'no'"),
        ({"dataset": "no.jsonl"}, ConfigError, "there is no file or folder 'no.jsonl'"),
        ({"dataset": "{tmp}/a.csv"}, ConfigError, "a data set is a .jsonl, .json or .parquet file, a folder"),
        ({"dataset": "{tmp}/a.csv"}, ConfigError, "one image or PDF is asked by `saccade ask`, or is --dataset glob"),
        ({"dataset": "{tmp}"}, ConfigError, "say what to ask of each: --question"),
        ({"dataset": "{tmp}", "question": ""}, ConfigError, "question: String should have at least 1 character"),
        ({"dataset": "{tmp}/a.jsonl", "question": "?"}, ConfigError, "--question is for a folder of images"),
        (
            {"dataset": "{tmp}/a.jsonl", "data_path": "b"},
            ConfigError,
            "is a path already; --data-path b goes with a name",
        ),
        ({"dataset": "jsonl"}, ConfigError, "data set 'jsonl' needs --data-path"),
        ({"dataset": "folder", "data_path": "x"}, ConfigError, "data set 'folder' needs --question"),
        ({"dataset": "docvqa", "question": "?"}, ConfigError, "data set 'docvqa' takes no --question"),
        ({"dataset": "docvqa", "split": "train"}, ConfigError, "split: Input should be 'validation' or 'test'"),
        ({"dataset": "docvqa", "colour": 1}, ConfigError, "colour: there is no such setting (got 1)"),
    ],
)
def test_what_cannot_be_opened_says_what_can(tmp_path: Path, given: dict[str, str], kind: type, said: str) -> None:
    for name in ("a.csv", "a.jsonl"):
        (tmp_path / name).touch()
    given = {
        key: value.replace("{tmp}", str(tmp_path)) if isinstance(value, str) else value for key, value in given.items()
    }
    with pytest.raises(kind) as caught:
        open_dataset(**given)  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["jsonl", "folder"])
def test_missing_data_is_refused_when_it_is_listed(name: str, tmp_path: Path) -> None:
    extra = {"question": "?"} if name == "folder" else {}
    dataset = open_dataset(name, data_path=tmp_path / "gone", **extra)
    for ask in (dataset.rows, dataset.fingerprint):
        with pytest.raises(
            ConfigError, match=r"there is no (file|folder) '.*/gone' \(--data-path, or --dataset PATH\)"
        ):
            ask()


def test_importing_the_data_sets_loads_nothing_heavy() -> None:
    code = (
        "import sys\nimport saccade.datasets, saccade.datasets.docvqa, saccade.datasets.jsonl, saccade.metrics.anls\n"
        "print([name for name in ('ray', 'typer', 'transformers', 'vllm', 'huggingface_hub') if name in sys.modules])\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


@pytest.mark.parametrize("name", ["q.jsonl", "q.json", "q.parquet"])
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>404</html>", "a web page, perhaps the error page of a download"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "an XML document"),
        (gzip.compress(b"{}"), "gzip-compressed: unpack it"),
        (b"PK\x03\x04" + bytes(60), "a zip archive or an office document"),
    ],
)
def test_what_stands_in_the_place_of_a_list_is_named(name: str, data: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=f"{name}'.* is {what}"):
        list(open_dataset(str(tmp_path / name)).rows())


def test_lines_that_are_no_json_are_told_what_they_must_be(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text("id,image,question\n1,a.png,What?\n")
    with pytest.raises(ConfigError, match=r"\(skipped: bad_json 2\)\. Each line must be a JSON object"):
        list(open_dataset(str(tmp_path / "q.jsonl")).rows())
