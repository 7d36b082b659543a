"""Files of several pages in every data set: one row a page, those that are chosen, and none in silence."""

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.datasets import Row, Skip, open_dataset
from saccade.errors import ConfigError, PictureError
from tests.broken_images import encoded, page
from tests.datasets.test_jsonl import write
from tests.decoding.test_pages import SHEETS, file_of


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A fax of three pages, a letter of two, one picture, and what only looks like a file of pages."""
    (tmp_path / "fax.TIF").write_bytes(file_of("TIFF"))
    (tmp_path / "letter.pdf").write_bytes(file_of("PDF", SHEETS[:2]))
    (tmp_path / "one.pdf").write_bytes(file_of("PDF", SHEETS[:1]))
    (tmp_path / "photo.png").write_bytes(encoded(page()))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 no more")
    return tmp_path


def ids(dataset: Any) -> list[str]:
    return [row.image_id for row in dataset.rows() if isinstance(row, Row)]


def test_a_folder_has_a_row_for_each_page(scans: Path) -> None:
    dataset = open_dataset(str(scans), question="What is it?")
    rows = [row for row in dataset.rows() if isinstance(row, Row)]
    pages = [f"fax.TIF#page={n}" for n in (1, 2, 3)] + ["letter.pdf#page=1", "letter.pdf#page=2"]
    assert [row.image_id for row in rows] == ["broken.pdf", *pages, "one.pdf", "photo.png"]
    assert [row.questions[0].id for row in rows] == [row.image_id for row in rows]
    assert [row.questions[0].metadata for row in rows][1:3] == [{"page": 1}, {"page": 2}]
    pictures = [dataset.sample(row).picture for row in rows[1:]]
    assert [picture.rgb[9, 9].argmax() for picture in pictures[:5]] == [0, 1, 2, 0, 1]
    with pytest.raises(PictureError, match="the PDF is broken"):
        _ = dataset.sample(rows[0]).picture.rgb


def test_pages_are_chosen_and_files_without_them_are_counted(scans: Path) -> None:
    items = list(open_dataset(str(scans), question="?", pages="2-").rows())
    assert [item.image_id for item in items if isinstance(item, Row)] == [
        "broken.pdf",
        "fax.TIF#page=2",
        "fax.TIF#page=3",
        "letter.pdf#page=2",
    ]
    assert [item for item in items if isinstance(item, Skip)] == [
        Skip("no_such_page", f"{name} (the file has 1 page; chosen are 2-)") for name in ("one.pdf", "photo.png")
    ]
    items = list(open_dataset(str(scans), question="?", pages="1-2").rows())
    assert [item for item in items if isinstance(item, Skip)] == [  # not photo.png, which has no pages
        Skip("no_such_page", "one.pdf (the file has 1 page; chosen are 1-2)")
    ]
    with pytest.raises(ConfigError, match="pages = 'x'"):
        open_dataset(str(scans), question="?", pages="x")
    with pytest.raises(ConfigError, match="data set 'synthdoc' takes no --pages"):
        open_dataset("synthdoc", pages="1")


def lines(folder: Path, *items: dict[str, Any]) -> Path:
    return write(folder, *({"id": f"q{n}", "question": "?", **item} for n, item in enumerate(items)))


def test_lines_ask_every_page_or_the_one_they_name(scans: Path) -> None:
    named = [{"image": "fax.TIF", "page": 2}, {"image": "photo.png", "page": 9}, {"image": "one.pdf", "page": 1}]
    dataset = open_dataset(str(lines(scans, {"image": "fax.TIF"}, *named)))
    rows = [row for row in dataset.rows() if isinstance(row, Row)]
    assert [(row.image_id, [q.id for q in row.questions]) for row in rows] == [
        ("fax.TIF#page=1", ["q0#page=1"]),
        ("fax.TIF#page=2", ["q0#page=2", "q1"]),
        ("fax.TIF#page=3", ["q0#page=3"]),
        ("photo.png", ["q2"]),
        ("one.pdf", ["q3"]),
    ]
    assert [dataset.sample(row).picture.rgb[9, 9].argmax() for row in rows[:3]] == [0, 1, 2]


def test_a_page_that_there_is_not_is_an_error_row(scans: Path) -> None:
    dataset = open_dataset(str(lines(scans, {"image": "letter.pdf", "page": 7}, {"image": "letter.pdf", "page": "x"})))
    beyond, wrong = (row for row in dataset.rows() if isinstance(row, Row))
    assert "page = x (str) must be a whole number from 1" in (wrong.questions[0].error or "")
    with pytest.raises(PictureError, match="there is no page 7: the file has 2 pages"):
        _ = dataset.sample(beyond).picture.rgb


@pytest.mark.parametrize("page", [1e999, -1e999, 1e300, 10**10])
def test_a_page_beyond_all_files_costs_its_row_alone(scans: Path, page: float) -> None:
    named, other = {"image": "letter.pdf", "page": page}, {"image": "one.pdf"}
    dataset = open_dataset(str(lines(scans, named, other)))
    beyond, one = (row for row in dataset.rows() if isinstance(row, Row))
    assert one.image_id == "one.pdf"
    if beyond.questions[0].error is None:
        with pytest.raises(PictureError, match="there is no page"):
            _ = dataset.sample(beyond).picture.rgb
    else:
        assert "must be a whole number from 1" in beyond.questions[0].error


def test_boxes_of_a_page_are_of_that_page(scans: Path) -> None:
    path = lines(scans, {"image": "fax.TIF", "page": 3, "answer_boxes": [[0, 0, 40, 20]]})
    dataset = open_dataset(str(path))
    (row,) = (row for row in dataset.rows() if isinstance(row, Row))
    assert dataset.sample(row).questions[0].answer_boxes_uv == ((0.0, 0.0, 0.5, 0.5),)  # page 3 is 80 x 40


def test_a_pdf_in_base64_has_a_row_for_each_page(scans: Path) -> None:
    text = base64.b64encode((scans / "letter.pdf").read_bytes()).decode()
    dataset = open_dataset(str(lines(scans, {"image": text}, {"image": f"data:application/pdf;base64,{text}"})))
    rows = [row for row in dataset.rows() if isinstance(row, Row)]
    assert [len(row.questions) for row in rows] == [2, 2]
    assert [dataset.sample(row).picture.rgb[9, 9].argmax() for row in rows] == [0, 1]


@pytest.mark.parametrize("kind", ["path", "bytes"])
def test_parquet_with_a_column_of_pages(scans: Path, kind: str) -> None:
    names = ["fax.TIF", "fax.TIF", "photo.png"]
    image = names if kind == "path" else [(scans / name).read_bytes() for name in names]
    table = pa.table({"id": ["a", "b", "c"], "image": image, "question": ["?"] * 3, "page": [1.0, 3.0, 7.0]})
    pq.write_table(table, scans / "x.parquet")
    dataset = open_dataset(str(scans / "x.parquet"))
    rows = [row for row in dataset.rows() if isinstance(row, Row)]
    assert [row.questions[0].id for row in rows] == ["a", "b", "c"]
    assert [dataset.sample(row).picture.rgb[9, 9].argmax() for row in rows[:2]] == [0, 2]
    assert dataset.sample(rows[2]).picture.size_px == (64, 48)  # a PNG: where it is from, not where to look


def test_parquet_of_paths_without_pages_asks_them_all_and_of_bytes_says_so(scans: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "image": ["fax.TIF"], "question": ["?"]}), scans / "x.parquet")
    assert ids(open_dataset(str(scans / "x.parquet"), pages="1,3")) == ["fax.TIF#page=1", "fax.TIF#page=3"]
    image = [(scans / "fax.TIF").read_bytes()]
    pq.write_table(pa.table({"id": ["a"], "image": image, "question": ["?"]}), scans / "x.parquet")
    dataset = open_dataset(str(scans / "x.parquet"))
    (row,) = (row for row in dataset.rows() if isinstance(row, Row))
    with pytest.raises(PictureError, match="the file has 3 pages"):
        _ = dataset.sample(row).picture.rgb


def test_names_that_look_like_pages_are_names(tmp_path: Path) -> None:
    for name in ("a#page=2.png", "page=3.png", "x.pdf#page=1.png"):
        (tmp_path / name).write_bytes(encoded(page()))
    (tmp_path / "page=4").mkdir()
    (tmp_path / "page=4" / "5.png").write_bytes(encoded(page()))
    dataset = open_dataset(str(tmp_path), question="?")
    rows = [row for row in dataset.rows() if isinstance(row, Row)]
    assert len(rows) == 4 and all(dataset.sample(row).picture.size_px == (64, 48) for row in rows)
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"id": 1, "image": "page=4//5.png", "question": "?"}))
    (row,) = (row for row in open_dataset(str(path)).rows() if isinstance(row, Row))
    assert open_dataset(str(path)).sample(row).picture.size_px == (64, 48)


def test_the_file_of_each_page_is_known(scans: Path) -> None:
    folder = open_dataset(str(scans), question="What is it?")
    assert [folder.path(row.source) for row in folder.rows() if isinstance(row, Row)][1:4] == [scans / "fax.TIF"] * 3
    named, inside = scans / "named.parquet", scans / "inside.parquet"
    images = [
        "fax.TIF",
        "photo.png",
        "data:image/png;base64," + base64.b64encode(encoded(page())).decode(),
        "http://x/y",
    ]
    asked = {"id": list("abcd"), "question": ["?"] * 4}
    pq.write_table(pa.table({**asked, "image": pa.array(images).dictionary_encode()}), named)
    pq.write_table(pa.table({**asked, "image": [encoded(page())] * 4}), inside)
    dataset = open_dataset(str(named))
    found = {row.image_id: dataset.path(row.source) for row in dataset.rows() if isinstance(row, Row)}
    assert [found[f"fax.TIF#page={n}"] for n in (1, 2, 3)] == [scans / "fax.TIF"] * 3
    assert list(found.values())[3:] == [scans / "photo.png", None, None]
    dataset = open_dataset(str(inside))
    assert [dataset.path(row.source) for row in dataset.rows() if isinstance(row, Row)] == [None] * 4
    lines = [{"id": "a", "image": "photo.png", "question": "?"}, {"id": "b", "image": 7, "question": "?"}]
    listed = open_dataset(str(write(scans, lines)))
    assert [listed.path(row.source) for row in listed.rows() if isinstance(row, Row)] == [scans / "photo.png", None]
