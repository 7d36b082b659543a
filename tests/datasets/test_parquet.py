"""Any Parquet with an id, an image and a question: three kinds of image column, ids of both kinds, boxes and groups."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.datasets import Row, open_dataset
from saccade.errors import ConfigError
from tests.broken_images import encoded, page
from tests.docvqa_layout import row, write

IMAGES = [encoded(page(64, 48)), encoded(page(32, 16))]


def table(folder: Path, **columns: object) -> Path:
    """A Parquet file of two rows."""
    pq.write_table(pa.table(columns), folder / "x.parquet")
    return folder / "x.parquet"


def rows_of(path: Path) -> list[Row]:
    return [row for row in open_dataset(str(path)).rows() if isinstance(row, Row)]


@pytest.mark.parametrize("id_column", ["id", "question_id", "questionId"])
@pytest.mark.parametrize("kind", ["struct", "bytes only", "binary", "path"])
def test_every_kind_of_id_and_image_column(tmp_path: Path, kind: str, id_column: str) -> None:
    for number, image in enumerate(IMAGES):
        (tmp_path / f"{number}.png").write_bytes(image)
    image = {
        "struct": [{"bytes": data, "path": "image.png"} for data in IMAGES],  # one name for all: no grouping by it
        "bytes only": [{"bytes": data} for data in IMAGES],
        "binary": IMAGES,
        "path": ["0.png", "1.png"],
    }[kind]
    path = table(tmp_path, **{id_column: [7, 8]}, image=image, question=["a?", "b?"], answers=[["x"], None])
    rows = rows_of(path)
    assert [[(q.id, q.text, q.answers) for q in r.questions] for r in rows] == [
        [("7", "a?", ("x",))],
        [("8", "b?", None)],
    ]
    samples = [open_dataset(str(path)).sample(r) for r in rows]
    assert [s.picture.size_px for s in samples] == [(64, 48), (32, 16)]


def test_rows_that_share_an_image_id_or_a_path_are_one_image(tmp_path: Path) -> None:
    path = table(tmp_path, id=["1", "2"], image=IMAGES, image_id=[5, 5], question=["a?", "b?"])
    assert [(r.image_id, len(r.questions)) for r in rows_of(path)] == [("5", 2)]
    path = table(tmp_path, id=["1", "2"], image=["p.png", "p.png"], question=["a?", "b?"])
    assert [(r.image_id, len(r.questions)) for r in rows_of(path)] == [("p.png", 2)]


def test_rows_without_a_common_name_are_images_of_their_own(tmp_path: Path) -> None:
    path = table(tmp_path, id=["1", "2"], image=[IMAGES[0], IMAGES[0]], question=["a?", "b?"])
    assert [(Path(r.image_id).name, len(r.questions)) for r in rows_of(path)] == [
        ("x.parquet#0", 1),
        ("x.parquet#1", 1),
    ]


def test_boxes_are_pixels_and_become_uv(tmp_path: Path) -> None:
    boxes = [[[16.0, 12.0, 32.0, 24.0]], [[1.0, 2.0, 3.0]]]
    path = table(tmp_path, id=["1", "2"], image=IMAGES, question=["a?", "b?"], answer_boxes=boxes)
    good, bad = (open_dataset(str(path)).sample(r).questions[0] for r in rows_of(path))
    assert good.answer_boxes_uv == ((0.25, 0.25, 0.5, 0.5),)
    assert bad.error is not None and "answer_boxes[0] = [1.0, 2.0, 3.0] (list)" in bad.error


def test_a_docvqa_file_by_path_is_grouped_as_well(tmp_path: Path) -> None:
    path = write(tmp_path / "val.parquet", [row(n, "pybv0228", 81, IMAGES[0]) for n in range(3)])
    assert [(r.image_id, len(r.questions)) for r in rows_of(path)] == [("pybv0228_81", 3)]


def test_an_image_column_of_another_type_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, id=["1", "2"], image=[1, 2], question=["a?", "b?"])
    with pytest.raises(
        ConfigError, match="the column image has type int64; it must be struct<bytes, path>, binary, or"
    ):
        rows_of(path)
