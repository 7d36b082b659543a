"""The field's data sets in the exact layouts of the hub: questions, images, hidden answers, and each one's metric."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.datasets import Dataset, Row, Skip, open_dataset
from saccade.errors import ConfigError
from saccade.metrics.scoring import score
from tests import lmms_layouts as layouts
from tests.broken_images import encoded, page

PAGES = [encoded(page(40 + n, 30)) for n in range(3)]  # told apart by their width


def image(number: int) -> dict[str, Any]:
    return {"bytes": PAGES[number], "path": f"{number}.png"}


def listed(dataset: Dataset) -> tuple[list[Row], list[Skip]]:
    items = list(dataset.rows())
    return [i for i in items if isinstance(i, Row)], [i for i in items if isinstance(i, Skip)]


def ids(rows: list[Row]) -> list[tuple[str, list[str]]]:
    return [(row.image_id, [question.id for question in row.questions]) for row in rows]


def test_textvqa(tmp_path: Path) -> None:
    people = ["nokia"] * 3 + ["nokia phone"] * 7
    rows = [
        {"image_id": "003a", "question_id": 34602, "question": "brand?", "image": image(0), "answers": people},
        {"image_id": "0054", "question_id": 34603, "question": "time?", "image": image(1), "answers": ["10:08"] * 10},
        {"image_id": "003a", "question_id": 34604, "question": "model?", "image": image(0), "answers": [""] * 10},
    ]
    rows = [{**row, "image_classes": ["Phone"], "set_name": "val", "ocr_tokens": []} for row in rows]
    layouts.write(tmp_path / "data/validation-00000-of-00001.parquet", layouts.TEXTVQA, rows)
    layouts.write(tmp_path / "data/test-00000-of-00001.parquet", layouts.TEXTVQA, rows[1:2])
    dataset = open_dataset("textvqa", data_path=tmp_path)
    made, skips = listed(dataset)
    assert not skips and ids(made) == [("003a", ["34602", "34604"]), ("0054", ["34603"])]
    assert [dataset.sample(row).picture.size_px for row in made] == [(40, 30), (41, 30)]
    brand, model = made[0].questions
    assert (brand.metric, brand.metadata) == ("vqa", {"image_classes": ["Phone"]})
    assert score("Nokia", brand) == pytest.approx(0.9) and score("nokia phone.", brand) == 1.0
    assert model.answers is None, "ten empty answers are hidden ones"
    assert ids(listed(open_dataset("textvqa", data_path=tmp_path, split="test"))[0]) == [("0054", ["34603"])]


def test_vqav2(tmp_path: Path) -> None:
    people = [{"answer": text, "answer_confidence": "yes", "answer_id": n + 1} for n, text in enumerate("yyyyyyyynn")]
    rows = [
        {"image_id": 262148, "question_id": 262148000, "question": "Up?", "image": image(0), "answers": people},
        {"image_id": 262148, "question_id": 262148001, "question": "Down?", "image": image(0), "answers": None},
    ]
    rows = [{**row, "question_type": "is", "answer_type": "other", "multiple_choice_answer": "y"} for row in rows]
    made, _ = listed(open_dataset("vqav2", data_path=layouts.write(tmp_path / "x.parquet", layouts.VQAV2, rows)))
    assert ids(made) == [("262148", ["262148000", "262148001"])]
    first, second = made[0].questions
    assert score("y", first) == 1.0 and score("n", first) == pytest.approx((8 * 2 / 3 + 2 * 1 / 3) / 10)
    assert second.answers is None and first.metadata == {"question_type": "is", "answer_type": "other"}


def test_chartqa_rows_are_called_by_file_and_row(tmp_path: Path) -> None:
    rows = [
        {"type": "human_test", "question": "How many bars?", "answer": "14", "image": image(0)},
        {"type": "augmented_test", "question": "Which year?", "answer": "2010", "image": image(1)},
        {"type": "augmented_test", "question": "", "answer": "2010", "image": image(1)},
    ]
    layouts.write(tmp_path / "data/test-00000-of-00001.parquet", layouts.CHARTQA, rows)
    dataset = open_dataset("chartqa", data_path=tmp_path / "data/test-00000-of-00001.parquet")
    made, skips = listed(dataset)
    assert [row.questions[0].id for row in made] == ["test-00000-of-00001#0", "test-00000-of-00001#1"]
    assert [skip.reason for skip in skips] == ["no_question"]
    assert [dataset.sample(row).picture.size_px for row in made] == [(40, 30), (41, 30)]
    question = made[0].questions[0]
    assert (score("14.5", question), score("15", question)) == (1.0, 0.0)
    assert question.metadata == {"type": "human_test"}
    again = listed(open_dataset("chartqa", data_path=tmp_path))[0]
    assert [row.questions[0].id for row in again] == [row.questions[0].id for row in made], "wherever it lies"


def test_infographicvqa_in_a_clone_that_holds_docvqa_too(tmp_path: Path) -> None:
    rows = [
        {"questionId": f"9831{n}", "question": "How many?", "answers": ["24.7 million"], "image": image(0)}
        | {"image_url": "https://x.org/a.png", "answer_type": ["single span"], "operation/reasoning": ["counting"]}
        for n in range(2)
    ]
    for folder in ("InfographicVQA", "DocVQA"):
        name = f"{folder}/validation-00000-of-00001.parquet"
        layouts.write(tmp_path / name, layouts.INFOGRAPHICVQA, rows[: 1 + (folder != "DocVQA")])
    made, _ = listed(open_dataset("infographicvqa", data_path=tmp_path))
    assert ids(made) == [("https://x.org/a.png", ["98310", "98311"])]
    question = made[0].questions[0]
    assert question.metadata == {"answer_type": ["single span"], "operation/reasoning": ["counting"]}
    assert question.metric == "anls" and score("24.7 milion", question) == pytest.approx(11 / 12)


def test_ocrbench_scores_formulas_by_themselves(tmp_path: Path) -> None:
    rows = [
        {"dataset": "IIIT5K", "question": "what?", "question_type": "Regular", "answer": ["CENTRE"]},
        {"dataset": "HME100k", "question": "formula?", "question_type": "HMER", "answer": ["a + B"]},
    ]
    file = layouts.write(tmp_path / "x.parquet", layouts.OCRBENCH, [{**row, "image": image(2)} for row in rows])
    made, _ = listed(open_dataset("ocrbench", data_path=file))
    word, formula = (row.questions[0] for row in made)
    assert (word.metric, formula.metric) == ("contains", "formula")
    assert score("it says centre", word) == 1.0
    assert score("a+B", formula) == 1.0 and score("a+b", formula) == 0.0
    plain, _ = listed(open_dataset("ocrbench", data_path=file, metric="exact"))
    assert [row.questions[0].metric for row in plain] == ["exact", "exact"], "what is asked for wins"


@pytest.fixture
def gqa(tmp_path: Path) -> Path:
    """Both tables, as the hub keeps them, beside those of another split."""
    questions = [
        {"id": "201", "imageId": "n1", "question": "Is it overcast?", "answer": "no", "isBalanced": True},
        {"id": "202", "imageId": "n2", "question": "Who is it?", "answer": "man", "isBalanced": True},
        {"id": "203", "imageId": "n1", "question": "What is left?", "answer": "a car", "isBalanced": True},
        {"id": "204", "imageId": "n9", "question": "Where?", "answer": "left", "isBalanced": True},
    ]
    images = [{"id": f"n{n}", "image": image(n)} for n in range(3)]
    for split in ("testdev", "val"):
        for table, schema, rows in (
            ("instructions", layouts.GQA_QUESTIONS, questions[: 4 if split == "testdev" else 1]),
            ("images", layouts.GQA_IMAGES, images),
        ):
            layouts.write(tmp_path / f"{split}_balanced_{table}/{split}-00000-of-00001.parquet", schema, rows)
    return tmp_path


def test_gqa_joins_questions_and_images(gqa: Path) -> None:
    dataset = open_dataset("gqa", data_path=gqa)
    made, skips = listed(dataset)
    assert ids(made) == [("n1", ["201", "203"]), ("n2", ["202"])]
    assert [(skip.reason, skip.where) for skip in skips] == [("no_image", "testdev-00000-of-00001.parquet:3")]
    assert [dataset.sample(row).picture.size_px for row in made] == [(41, 30), (42, 30)]
    assert score("No.", made[0].questions[0]) == 1.0 and made[0].questions[0].metric == "words"
    assert ids(listed(open_dataset("gqa", data_path=gqa, split="val"))[0]) == [("n1", ["201"])]
    assert dataset.fingerprint() != open_dataset("gqa", data_path=gqa, split="val").fingerprint()


def test_gqa_of_another_split_is_never_read_instead(gqa: Path) -> None:
    for table in ("instructions", "images"):
        (gqa / f"testdev_balanced_{table}").rename(gqa / f"challenge_balanced_{table}")
    with pytest.raises(
        ConfigError,
        match="no file of the split testdev: there are challenge, val. A file that is given by itself",
    ):
        listed(open_dataset("gqa", data_path=gqa))


def test_gqa_without_one_of_its_tables_is_refused(gqa: Path) -> None:
    with pytest.raises(ConfigError, match="holds no file of images: give as --data-path a folder with both tables"):
        listed(open_dataset("gqa", data_path=gqa / "testdev_balanced_instructions"))
    with pytest.raises(ConfigError, match="holds no file of questions"):
        listed(open_dataset("gqa", data_path=gqa / "testdev_balanced_images"))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("textvqa", ["data/validation-*.parquet"]),
        ("vqav2", ["data/validation-*.parquet"]),
        ("chartqa", ["data/test-*.parquet"]),
        ("infographicvqa", ["InfographicVQA/validation-*.parquet"]),
        ("ocrbench", ["data/test-*.parquet"]),
        ("gqa", ["testdev_balanced_instructions/*.parquet", "testdev_balanced_images/*.parquet"]),
    ],
)
def test_what_is_asked_of_the_hub(
    name: str, wanted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the hub, whose snapshot is empty: only the request is looked at."""
    import huggingface_hub

    asked: list[tuple[str, Any]] = []

    def snapshot(repository: str, **given: Any) -> str:
        asked.append((repository, given["allow_patterns"]))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: SimpleNamespace(sha="1234"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    dataset = open_dataset(name)
    with pytest.raises(ConfigError, match="there is no Parquet file at"):
        dataset.rows()
    assert asked == [(type(dataset).repository, wanted)]  # type: ignore[attr-defined]


def test_metric_of_data_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(PAGES[0])
    (tmp_path / "q.jsonl").write_text('{"id": "a", "image": "0.png", "question": "How many?", "answers": ["100"]}\n')
    table = pa.table({"id": ["a"], "image": ["0.png"], "question": ["How many?"], "answers": [["100"]]})
    pq.write_table(table, tmp_path / "q.parquet")
    for file in ("q.jsonl", "q.parquet"):
        (row,), _ = listed(open_dataset(str(tmp_path / file), metric="relaxed"))
        assert score("104", row.questions[0]) == 1.0
    with pytest.raises(ConfigError, match="no metric 'bleu'. There are: anls, vqa"):
        open_dataset(str(tmp_path / "q.jsonl"), metric="bleu")
    with pytest.raises(ConfigError, match="data set 'synthdoc' takes no --metric"):
        open_dataset("synthdoc", metric="anls")
