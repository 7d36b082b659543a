"""questions.jsonl: boxes to uv by the header alone, lines that are skipped, fields that are wrong, images with many."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from saccade.datasets import Dataset, Row, Skip, open_dataset
from saccade.errors import ConfigError, PictureError
from saccade.registry import load
from tests.broken_images import encoded, page, png_header

ANSWERS = "must be text or a number, a list of these, or null where answers are hidden"
GOOD = {"id": "q", "image": "images/a.png", "question": "What?"}


def write(folder: Path, *lines: dict[str, Any] | str | bytes) -> Path:
    """A questions.jsonl beside images/a.png (64 x 48) and images/b.png."""
    (folder / "images").mkdir(exist_ok=True)
    for name in ("a", "b"):
        (folder / "images" / f"{name}.png").write_bytes(encoded(page()))
    path = folder / "questions.jsonl"
    as_bytes = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    path.write_bytes(b"\n".join(as_bytes) + b"\n")
    return path


def listed(path: Path) -> tuple[list[Row], list[Skip]]:
    items = list(open_dataset(str(path)).rows())
    return [i for i in items if isinstance(i, Row)], [i for i in items if isinstance(i, Skip)]


def test_the_layout_of_the_receipts(tmp_path: Path) -> None:
    line = {"id": "006-date", "image": "images/a.png", "question": "What is the date?", "answers": ["11/01/2019"]}
    path = write(tmp_path, line | {"answer_boxes": [[16, 12, 32, 24.0], [0, 0, 64, 48]]}, GOOD | {"answers": None})
    dataset = open_dataset(str(path))
    (row,), _ = listed(path)
    assert (row.image_id, [q.id for q in row.questions]) == ("images/a.png", ["006-date", "q"])
    sample = dataset.sample(row)
    date, other = sample.questions
    assert (date.text, date.answers) == ("What is the date?", ("11/01/2019",))
    assert date.answer_boxes_uv == ((0.25, 0.25, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0)) and date.answer_boxes_px == ()
    assert (other.answers, other.answer_boxes_uv, other.error) == (None, (), None)
    assert sample.picture.size_px == (64, 48)


def test_images_with_several_questions_are_one_row_in_order_of_first_sight(tmp_path: Path) -> None:
    names = ["images/b.png", "images/a.png", "./images/b.png", "images/b.png"]
    rows, _ = listed(write(tmp_path, *[GOOD | {"id": n, "image": name} for n, name in enumerate(names)]))
    assert [(r.image_id, [q.id for q in r.questions]) for r in rows] == [
        ("images/b.png", ["0", "2", "3"]),
        ("images/a.png", ["1"]),
    ]


def test_what_is_skipped_has_a_reason_and_a_place(tmp_path: Path) -> None:
    lines = [
        GOOD,
        {"image": "images/a.png", "question": "What?"},
        GOOD | {"id": None},
        GOOD | {"id": "1", "image": " "},
        {"id": "2", "image": "images/a.png"},
        "{broken",
        "[1, 2]",
        b'{"id": "\xff"}',
        "",
        GOOD | {"question": "Asked again?"},
    ]
    rows, skips = listed(write(tmp_path, *lines))
    assert [q.id for row in rows for q in row.questions] == ["q"]
    assert [(s.reason, s.where) for s in skips] == [
        ("no_id", "questions.jsonl:2"),
        ("no_id", "questions.jsonl:3"),
        ("no_image", "questions.jsonl:4"),
        ("no_question", "questions.jsonl:5"),
        ("bad_json", "questions.jsonl:6"),
        ("bad_json", "questions.jsonl:7"),
        ("not_utf8", "questions.jsonl:8 (byte 0xff at 9; perhaps Latin-1: save the file as UTF-8)"),
        ("duplicate_id", "questions.jsonl:10 (id 'q')"),
    ]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("id", True, "DataError: id = True (bool) must be text"),
        ("id", "\ud800", "DataError: id = \\ud800 (str) must be valid Unicode text"),
        ("image", 5, "DataError: image = 5 (int) must be the path of an image file, a data: URI, or base64"),
        ("question", 5, "DataError: question = 5 (int) must be text"),
        ("answers", True, f"DataError: answers = True (bool) {ANSWERS}"),
        ("answers", ["x", [5]], f"DataError: answers[1] = [5] (list) {ANSWERS}"),
        ("answer_boxes", 5, "DataError: answer_boxes = 5 (int) must be a list of boxes [x0, y0, x1, y1] in pixels"),
        *[
            (
                "answer_boxes",
                [[0, 0, 9, 9], box],
                f"DataError: answer_boxes[1] = {box!r} ({type(box).__name__}) must be [x0, y0, x1, y1] in pixels "
                "with x0 < x1 and y0 < y1",
            )
            for box in ([1, 2, 3], [1, 2, 3, "4"], [5, 5, 5, 9], [0, 0, True, 9], [0, 0, float("nan"), 9], 7)
        ],
    ],
)
def test_a_wrong_field_is_an_error_of_its_question_alone(tmp_path: Path, field: str, value: Any, error: str) -> None:
    path = write(tmp_path, GOOD | {"id": "fine"}, GOOD | {field: value})
    rows, skips = listed(path)
    fine, wrong = (q for row in rows for q in row.questions)
    assert (fine.error, wrong.error, skips) == (None, error, [])
    wrong.id.encode(), wrong.text.encode()  # both can be stored


def test_a_number_of_any_length_is_no_crash(tmp_path: Path) -> None:
    rows, _ = listed(write(tmp_path, GOOD | {"answer_boxes": [[0, 0, 10**400, 9]]}, GOOD | {"id": 7}))
    assert "must be [x0, y0, x1, y1]" in (rows[0].questions[0].error or "")
    assert rows[0].questions[1].id == "7"


def test_boxes_are_cut_at_the_border_and_refused_beyond_it(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        GOOD | {"id": "cut", "answer_boxes": [[-16, 24, 32, 96]]},
        GOOD | {"id": "out", "answer_boxes": [[0, 0, 9, 9], [64, 0, 70, 9]]},
    )
    (row,), _ = listed(path)
    cut, out = open_dataset(str(path)).sample(row).questions
    assert cut.answer_boxes_uv == ((0.0, 0.5, 0.5, 1.0),)
    assert out.error == "DataError: answer box [64, 0, 70, 9] px lies outside the image of 64 x 48 px"


def test_boxes_count_in_the_image_as_displayed(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD | {"image": "images/turned.jpg", "answer_boxes": [[24, 32, 48, 64]]})
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images/turned.jpg").write_bytes(encoded(page(64, 48), "JPEG", exif=exif))  # displayed: 48 x 64
    (row,), _ = listed(path)
    assert open_dataset(str(path)).sample(row).questions[0].answer_boxes_uv == ((0.5, 0.5, 1.0, 1.0),)


def test_boxes_of_a_large_scan_need_no_pixels(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD | {"image": "images/scan.png", "answer_boxes": [[0, 0, 5000, 3500]]})
    (tmp_path / "images/scan.png").write_bytes(png_header(10_000, 7_000))  # a header without pixels
    (row,), _ = listed(path)
    assert open_dataset(str(path)).sample(row).questions[0].answer_boxes_uv == ((0.0, 0.0, 0.5, 0.5),)


def test_listing_opens_no_image(tmp_path: Path) -> None:
    boxes = {"answer_boxes": [[0, 0, 9, 9]]}
    path = write(tmp_path, GOOD | {"image": "images/missing.png"} | boxes, GOOD | {"id": "2", "image": "no.png"})
    (first, second), skips = listed(path)
    assert skips == []
    dataset = open_dataset(str(path))
    with pytest.raises(PictureError, match="cannot read the image file"):
        dataset.sample(first)  # its boxes need the size
    with pytest.raises(PictureError, match="No such file"):
        _ = dataset.sample(second).picture.rgb


def test_a_byte_order_mark_is_no_part_of_the_json(tmp_path: Path) -> None:
    rows, skips = listed(write(tmp_path, b"\xef\xbb\xbf" + json.dumps(GOOD).encode()))
    assert len(rows) == 1 and skips == []


def test_a_file_without_questions_is_refused_with_the_count(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": 1}, {"a": 2}, "no json")
    with pytest.raises(
        ConfigError,
        match=r"questions.jsonl' holds no question about an image \(skipped: no_id 2, bad_json 1\)\. .*here: id",
    ):
        list(open_dataset(str(path)).rows())


def test_the_fingerprint_is_that_of_the_questions(tmp_path: Path) -> None:
    first = open_dataset(str(write(tmp_path, GOOD))).fingerprint()
    (tmp_path / "images/a.png").write_bytes(b"replaced")
    assert open_dataset(str(write(tmp_path, GOOD))).fingerprint() == first
    assert open_dataset(str(write(tmp_path, GOOD | {"question": "Why?"}))).fingerprint() != first


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_fingerprint_changes_with_the_question_and_the_metric(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, GOOD)
    if kind == "parquet":
        path = tmp_path / "x.parquet"
        pq.write_table(pa.table({"image": ["images/a.png"]}), path)
    given: list[dict[str, Any]] = [{}, {"question": "Why?"}, {"question": "Who?"}, {"metric": "vqa"}, {"pages": "1"}]
    asked = [load("datasets", {"name": kind, "data_path": str(path), **each}, Dataset) for each in given]
    assert len({dataset.fingerprint() for dataset in asked}) == 5
    by_default = load("datasets", {"name": kind, "data_path": str(path), "question": None, "metric": "anls"}, Dataset)
    assert by_default.fingerprint() == asked[0].fingerprint()


def test_paths_hold_in_every_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset("questions.jsonl")
    monkeypatch.chdir("/")
    (row,) = dataset.rows()
    assert isinstance(row, Row) and dataset.sample(row).picture.rgb.shape == (48, 64, 3)
