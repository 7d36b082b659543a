"""JSON in every form and encoding that people have, and pictures that stand in the JSON itself."""

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from saccade.datasets import Dataset, Row, Skip, open_dataset
from saccade.errors import ConfigError, PictureError
from tests.broken_images import encoded, page

ITEMS = [{"id": name, "image": "a.png", "question": f"Où est le café {name} ?"} for name in "abc"]
LINES = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in ITEMS)


def dataset_of(folder: Path, data: bytes | str, name: str = "q.jsonl") -> Dataset:
    (folder / "a.png").write_bytes(encoded(page()))
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return open_dataset(str(folder / name))


def questions(dataset: Dataset) -> list[str]:
    return [question.text for row in dataset.rows() if isinstance(row, Row) for question in row.questions]


TEXTS = [item["question"] for item in ITEMS]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize(
    "text",
    [
        LINES,
        LINES.replace("\n", "\r\n"),
        LINES.replace("\n", "\r"),
        LINES.rstrip("\n"),
        "\n\n" + LINES.replace("\n", "\n\n"),
        json.dumps(ITEMS, ensure_ascii=False),
        json.dumps(ITEMS, ensure_ascii=False, indent=2),
        "\n".join(json.dumps(item, indent=1, ensure_ascii=False) for item in ITEMS),
        "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in ITEMS) + "\n]\n",
        ",\n".join(json.dumps(item, ensure_ascii=False) for item in ITEMS),
        json.dumps({"dataset_name": "mine", "data": ITEMS}, ensure_ascii=False),
        json.dumps({"questions": ITEMS}, ensure_ascii=False, indent=1),
    ],
    ids="lines crlf cr no_last blank array pretty_array pretty array_lines commas data inside".split(),
)  # fmt: skip
@pytest.mark.parametrize("name", ["q.jsonl", "q.json"])
def test_every_form_in_every_encoding(tmp_path: Path, text: str, encoding: str, name: str) -> None:
    if encoding[-3:] in ("-le", "-be") and text[0] == "\n":
        pytest.skip("its mark is how UTF-16 is told; without one, its first two characters are")
    dataset = dataset_of(tmp_path, text.encode(encoding), name)
    assert questions(dataset) == TEXTS
    rows = [row for row in dataset.rows() if isinstance(row, Row)]
    assert [dataset.sample(row).picture.size_px for row in rows] == [(64, 48)]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac-roman", "shift-jis"])
@pytest.mark.parametrize("form", ["lines", "array", "pretty"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str, form: str) -> None:
    items = [item | {"question": "日本語"} for item in ITEMS] if encoding == "shift-jis" else ITEMS
    text = {
        "lines": "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items),
        "array": json.dumps(items, ensure_ascii=False),
        "pretty": json.dumps(items, ensure_ascii=False, indent=1),
    }[form]
    with pytest.raises(ConfigError, match="(?i)not utf-8.*perhaps Latin-1 or Windows-1252: save it as UTF-8"):
        questions(dataset_of(tmp_path, text.encode(encoding)))


def test_one_line_in_another_encoding_is_counted(tmp_path: Path) -> None:
    data = LINES.encode() + json.dumps(ITEMS[0] | {"id": "d"}, ensure_ascii=False).encode("latin-1")
    (skip,) = (item for item in dataset_of(tmp_path, data).rows() if isinstance(item, Skip))
    assert skip.reason == "not_utf8" and skip.where.startswith("q.jsonl:4 (byte 0xf9 at ")


def test_a_first_line_that_is_broken_costs_one_line(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, '{"id": "x", "image"\n' + LINES)
    assert questions(dataset) == TEXTS
    assert [item.where for item in dataset.rows() if isinstance(item, Skip)] == ["q.jsonl:1"]


@pytest.mark.parametrize("text", ["", "\n\n", "[]", "{}", "[1, 2]", "null", '"text"'])
def test_files_without_a_question(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="holds no question about an image"):
        questions(dataset_of(tmp_path, text))


def test_half_an_array_says_where_it_breaks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no question|is not JSON: .*(line|char)"):
        questions(dataset_of(tmp_path, json.dumps(ITEMS, indent=1)[:150]))


@pytest.mark.parametrize("end", [",\n]", ",", ""], ids=["comma", "cut_off", "unclosed"])
@pytest.mark.parametrize("between", [",", ",\n"])
def test_a_broken_array_is_refused_whole(tmp_path: Path, between: str, end: str) -> None:
    """Read line by line it would have no question, or its last one alone."""
    text = "[\n" + between.join(json.dumps(item) for item in ITEMS) + end
    with pytest.raises(ConfigError, match="is not JSON: .* It must hold one object per line, or one array"):
        list(dataset_of(tmp_path, text, "q.json").rows())


PNG = encoded(page())
B64 = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "image",
    [
        f"data:image/png;base64,{B64}",
        f"DATA:;base64,{B64}",
        f"data:image/png; Base64 ,{B64}",
        "data:image/png;base64,\n" + base64.encodebytes(PNG).decode(),
        "data:image/png;base64," + base64.urlsafe_b64encode(PNG).decode().rstrip("="),
        "data:image/png;base64," + B64.replace("+", "%2B").replace("/", "%2F"),
        B64,
        base64.encodebytes(PNG).decode(),
        {"bytes": B64, "path": None},
        {"bytes": f"data:image/png;base64,{B64}"},
        {"path": "a.png"},
        {"url": "a.png"},
        "file:a.png",
    ],
    ids=range(13),
)  # fmt: skip
@pytest.mark.parametrize("form", ["lines", "array"])
def test_a_picture_in_the_json_itself(tmp_path: Path, image: Any, form: str) -> None:
    if image == "file:a.png":
        image = f"file://{tmp_path}/a%2Epng"
    items = [item | {"image": image} for item in ITEMS]
    text = json.dumps(items) if form == "array" else "".join(json.dumps(item) + "\n" for item in items)
    dataset = dataset_of(tmp_path, text)
    (row,) = (row for row in dataset.rows() if isinstance(row, Row))  # equal content is one image
    assert len(row.questions) == 3 and len(row.source) < 200 and len(row.image_id) < 200
    sample = pickle.loads(pickle.dumps(dataset)).sample(row)
    assert sample.picture.data == PNG


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("data:image/png;base64,@@@@", "the image is not base64"),
        ("data:image/png", "a data: URI must be 'data:image/...;base64,...'"),
        ("data:,", "the image is empty"),
        ("https://example.com/a.png", "is a URL of the scheme 'https', which is not fetched: download the image"),
        ("s3://bucket/a.png?x=1", "scheme 's3'"),
        (5, "image = 5 (int) must be the path of an image file, a data: URI, or base64"),
        (["a.png"], "must be the path of an image file"),
        ({"width": 5}, "must be the path of an image file"),
        ("a\0b.png", "must be the path of an image file"),
    ],
)
def test_an_image_field_that_names_no_image(tmp_path: Path, image: Any, reason: str) -> None:
    dataset = dataset_of(tmp_path, LINES + json.dumps({"id": "x", "image": image, "question": "?"}))
    wrong = next(q for row in dataset.rows() if isinstance(row, Row) for q in row.questions if q.id == "x")
    assert wrong.error is not None and reason in wrong.error and len(wrong.error) < 300


def test_a_data_uri_that_is_no_image_says_so(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, json.dumps(ITEMS[0] | {"image": "data:image/svg+xml,%3Csvg/%3E"}))
    (row,) = (row for row in dataset.rows() if isinstance(row, Row))
    with pytest.raises(PictureError, match="It is an SVG drawing"):
        _ = dataset.sample(row).picture.rgb


def test_a_huge_path_is_not_repeated(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, json.dumps(ITEMS[0] | {"image": "x/" * 50_000 + "a.png"}))
    (row,) = (row for row in dataset.rows() if isinstance(row, Row))
    with pytest.raises(PictureError, match="File name too long") as caught:
        _ = dataset.sample(row).picture.rgb
    assert len(str(caught.value)) < 600


def test_a_file_that_changed_since_it_was_listed(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, json.dumps(ITEMS[0] | {"image": B64}))
    (row,) = (row for row in dataset.rows() if isinstance(row, Row))
    dataset_of(tmp_path, "{}")
    with pytest.raises(PictureError, match="the file has changed"):
        _ = dataset.sample(row).picture.rgb
