"""Tables as writers leave them: every way Arrow stores a column, ids and answers of many shapes, ids that repeat."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.datasets import Row, Skip, open_dataset
from saccade.errors import ConfigError, PictureError
from tests.broken_images import encoded, page
from tests.datasets.test_jsonl import write as write_lines
from tests.docvqa_layout import row as docvqa_row
from tests.docvqa_layout import write as write_docvqa

IMAGES = [encoded(page(64, 48)), encoded(page(32, 16))]


def rows_of(path: Path, **more: Any) -> list[Row]:
    return [row for row in open_dataset(str(path), **more).rows() if isinstance(row, Row)]


def sizes(path: Path) -> list[tuple[int, int]]:
    dataset = open_dataset(str(path))
    return [dataset.sample(row).picture.size_px for row in rows_of(path)]


LARGE = pa.struct({"bytes": pa.large_binary(), "path": pa.string_view()})


class Named(pa.ExtensionType):
    """An extension type of somebody's own, over bytes."""

    def __init__(self) -> None:
        super().__init__(pa.binary(), "acme.image")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> "Named":
        return cls()


@pytest.mark.parametrize(
    "column",
    [
        lambda: pa.array(IMAGES, pa.large_binary()),
        lambda: pa.array(IMAGES, pa.binary_view()),
        lambda: pa.array(IMAGES, pa.binary()).dictionary_encode(),
        lambda: pa.array([list(image) for image in IMAGES], pa.list_(pa.uint8())),
        lambda: pa.array([list(image) for image in IMAGES], pa.large_list(pa.uint8())),
        lambda: pa.array(["0.png", "1.png"], pa.large_string()),
        lambda: pa.array(["0.png", "1.png"], pa.string_view()),
        lambda: pa.array(["0.png", "1.png"]).dictionary_encode(),
        lambda: pa.array(["file://{tmp}/0.png", "file://{tmp}/1.png"]),
        lambda: pa.array([{"path": "0.png"}, {"path": "1.png"}]),
        lambda: pa.array([{"bytes": i, "path": None} for i in IMAGES], LARGE),
        lambda: pa.array([{"bytes": i} for i in IMAGES], pa.struct({"bytes": pa.binary_view()})),
        lambda: pa.ExtensionArray.from_storage(Named(), pa.array(IMAGES, pa.binary())),
    ],
    ids=range(13),
)  # fmt: skip
def test_every_way_to_store_an_image(tmp_path: Path, column: Callable[[], pa.Array]) -> None:
    for number, image in enumerate(IMAGES):
        (tmp_path / f"{number}.png").write_bytes(image)
    made = column()
    if pa.types.is_string(made.type):
        made = pa.array([text.replace("{tmp}", str(tmp_path)) for text in made.to_pylist()])
    pq.write_table(pa.table({"id": ["a", "b"], "image": made, "question": ["?", "?"]}), tmp_path / "x.parquet")
    assert sizes(tmp_path / "x.parquet") == [(64, 48), (32, 16)]


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array([b"a", b"b"]), ["a", "b"]),
        (pa.array([7.0, 8.0]), ["7", "8"]),
        (pa.array([2**63 - 1, 0], pa.uint64()), [str(2**63 - 1), "0"]),
        (pa.array([1.5, 2.0]), ["1.5", "2"]),
        (pa.array([17, 18]).cast(pa.decimal128(20, 0)), ["17", "18"]),
    ],
)
@pytest.mark.parametrize("name", ["id", "question_id"])
def test_every_way_to_store_an_id(tmp_path: Path, ids: pa.Array, read: list[str], name: str) -> None:
    pq.write_table(pa.table({name: ids, "image": IMAGES, "question": ["?", "?"]}), tmp_path / "x.parquet")
    assert [row.questions[0].id for row in rows_of(tmp_path / "x.parquet")] == read


def test_an_id_that_is_missing_among_floats_is_skipped(tmp_path: Path) -> None:
    ids = pa.array([1.0, float("nan"), None])
    pq.write_table(pa.table({"id": ids, "image": [*IMAGES, b"x"], "question": ["?"] * 3}), tmp_path / "x.parquet")
    found = list(open_dataset(str(tmp_path)).rows())
    assert [item.reason for item in found if isinstance(item, Skip)] == ["no_id", "no_id"]


def test_an_image_id_that_is_infinite_is_an_error_of_its_row(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "image": IMAGES, "question": ["?", "?"], "image_id": [float("inf"), 2.0]})
    pq.write_table(table, tmp_path / "x.parquet")
    wrong, good = rows_of(tmp_path / "x.parquet")
    assert wrong.questions[0].error == "DataError: image_id = inf (float) must be text or a finite number"
    assert (good.image_id, good.questions[0].error) == ("2", None)


ANSWERS: list[tuple[Any, tuple[str, ...] | None]] = [
    ("one", ("one",)),
    (["a", "b"], ("a", "b")),
    (["a", None, "b"], ("a", "b")),
    ([None], None),
    ([], None),
    (None, None),
    (42, ("42",)),
    (42.0, ("42",)),
    (42.5, ("42.5",)),
    ([1, 2.5, "x"], ("1", "2.5", "x")),
    ([{"answer": "yes", "answer_id": 1}, {"answer": "no", "answer_id": 2}], ("yes", "no")),
    ({"text": ["a", "b"], "answer_start": [3, 9]}, ("a", "b")),
]


@pytest.mark.parametrize(("given", "read"), ANSWERS)
@pytest.mark.parametrize("name", ["answers", "answer"])
def test_answers_of_every_shape(tmp_path: Path, given: Any, read: tuple[str, ...] | None, name: str) -> None:
    (row,) = rows_of(write_lines(tmp_path, {"id": "q", "image": "images/a.png", "question": "?", name: given}))
    assert (row.questions[0].answers, row.questions[0].error) == (read, None)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([["a", None]], pa.large_list(pa.large_string())),
        pa.array([["a"]], pa.list_(pa.string(), 1)),
        pa.array([["a"]], pa.list_view(pa.string())),
        pa.array(["a"]).dictionary_encode(),
        pa.array([["a"]], pa.list_(pa.string_view())),
    ],
    ids=range(5),
)
def test_answers_in_every_kind_of_list(tmp_path: Path, column: pa.Array) -> None:
    table = pa.table({"id": [1], "image": IMAGES[:1], "question": ["?"], "answers": column})
    try:
        pq.write_table(table, tmp_path / "x.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip("this pyarrow does not write the type")
    assert rows_of(tmp_path / "x.parquet")[0].questions[0].answers == ("a",)


def test_answers_win_over_answer_and_columns_that_are_not_used_are_not_read(tmp_path: Path) -> None:
    far = pa.array([2**60], pa.timestamp("ms"))  # no datetime holds it
    table = pa.table(
        {"id": ["a"], "image": IMAGES[:1], "question": ["?"], "answers": [["x"]], "answer": ["y"], "when": far}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert rows_of(tmp_path / "x.parquet")[0].questions[0].answers == ("x",)


@pytest.mark.parametrize(
    ("boxes", "uv"),
    [
        ([[0.25, 0.25, 0.5, 0.5]], ((0.25, 0.25, 0.5, 0.5),)),
        ([[0, 0, 1, 1]], ((0, 0, 1, 1),)),
        ([0.1, 0.2, 0.3, 0.4], ((0.1, 0.2, 0.3, 0.4),)),
        ([[0.5, 0.5, 1.004, 1.0]], ((0.5, 0.5, 1.0, 1.0),)),
        ([[16, 12, 32, 24]], ((0.25, 0.25, 0.5, 0.5),)),
        ([16, 12, 32, 24], ((0.25, 0.25, 0.5, 0.5),)),
        ([[0.5, 0.5, 32, 24]], ((0.5 / 64, 0.5 / 48, 0.5, 0.5),)),  # one number above 1: all are pixels
        ([None, [0, 0, 64, 48]], ((0, 0, 1, 1),)),
    ],
)
def test_boxes_are_pixels_or_shares_of_the_sides(tmp_path: Path, boxes: Any, uv: tuple[tuple[float, ...], ...]) -> None:
    path = write_lines(tmp_path, {"id": "q", "image": "images/a.png", "question": "?", "answer_boxes": boxes})
    (row,) = rows_of(path)
    (question,) = open_dataset(str(path)).sample(row).questions
    assert question.error is None and np.allclose(question.answer_boxes_uv, uv)


def shard(path: Path, images: list[bytes], **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = len(images)
    given = {
        "id": [f"{path.stem}{path.parent.name}{n}" for n in range(rows)],
        "question": ["?"] * rows,
        "image": images,
    }
    pq.write_table(pa.table(given | columns), path, row_group_size=2)


def test_shards_that_number_their_images_from_0(tmp_path: Path) -> None:
    shard(tmp_path / "a.parquet", [IMAGES[0], IMAGES[0], IMAGES[1]], image_id=[0, 0, 1])
    shard(tmp_path / "b.parquet", [IMAGES[1], IMAGES[0]], image_id=[0, 2])
    assert [(row.image_id, len(row.questions)) for row in rows_of(tmp_path)] == [
        ("a.parquet:0", 2),
        ("1", 1),
        ("b.parquet:0", 1),
        ("2", 1),
    ]
    assert sizes(tmp_path) == [(64, 48), (32, 16), (32, 16), (64, 48)]


def test_an_image_whose_questions_go_on_in_the_next_shard_stays_one(tmp_path: Path) -> None:
    shard(tmp_path / "a.parquet", [IMAGES[1], IMAGES[0]], image_id=["x", "y"])
    shard(tmp_path / "b.parquet", [IMAGES[0]], image_id=["y"])
    assert [(row.image_id, len(row.questions)) for row in rows_of(tmp_path)] == [("x", 1), ("y", 2)]
    assert sizes(tmp_path) == [(32, 16), (64, 48)]


def test_paths_that_mean_another_file_in_each_folder(tmp_path: Path) -> None:
    for folder, image in zip("ab", IMAGES, strict=True):
        shard(tmp_path / folder / "x.parquet", ["0.png"], id=[folder])  # type: ignore[list-item]
        (tmp_path / folder / "0.png").write_bytes(image)
    assert [row.image_id for row in rows_of(tmp_path)] == ["a/x.parquet:0.png", "b/x.parquet:0.png"]
    assert sizes(tmp_path) == [(64, 48), (32, 16)]


@pytest.mark.parametrize("kind", ["bytes", "path", "far apart"])
def test_one_image_id_for_two_images_is_an_error_row_and_never_a_wrong_answer(tmp_path: Path, kind: str) -> None:
    for number, image in enumerate(IMAGES):
        (tmp_path / f"{number}.png").write_bytes(image)
    images: list[Any] = ["0.png", "1.png"] if kind == "path" else IMAGES
    ids = [5, 5]
    if kind == "far apart":
        images, ids = [IMAGES[0], *[IMAGES[0]] * 40, IMAGES[1]], [5, *range(100, 140), 5]
    shard(tmp_path / "x.parquet", images, image_id=ids)
    dataset, row = open_dataset(str(tmp_path)), rows_of(tmp_path)[0]
    with pytest.raises(PictureError, match=r"row 0 of .* and row \d+ of .* have one image id and different images"):
        _ = dataset.sample(row).picture.rgb


def test_the_same_file_by_two_names_is_one_image(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(IMAGES[0])
    (tmp_path / "1.png").write_bytes(IMAGES[0])
    shard(tmp_path / "x.parquet", ["0.png", "1.png"], image_id=[5, 5])  # type: ignore[list-item]
    assert sizes(tmp_path) == [(64, 48)]


@pytest.mark.parametrize("name", ["DocVQA", "other"])
def test_a_clone_of_the_hubs_repository_is_docvqa_alone(tmp_path: Path, name: str) -> None:
    for folder, number in ((name, 1), ("InfographicVQA", 2)):
        rows = [docvqa_row(number, f"d{number}", 1, IMAGES[0])]
        write_docvqa(tmp_path / folder / "validation-00000-of-00001.parquet", rows)
    if name == "DocVQA":
        found = [row for row in open_dataset("docvqa", data_path=tmp_path).rows() if isinstance(row, Row)]
        assert [row.image_id for row in found] == ["d1_1"]
    else:
        with pytest.raises(
            ConfigError, match=r"in several folders \(InfographicVQA, other\), and none is called DocVQA"
        ):
            list(open_dataset("docvqa", data_path=tmp_path).rows())


def clones(root: Path, *folders: str, split: str = "validation") -> Path:
    """Folders below `root` with one file each of DocVQA's layout, the documents d0, d1, ..."""
    for number, folder in enumerate(folders):
        rows = [docvqa_row(number, f"d{number}", 1, IMAGES[0])]
        write_docvqa(root / folder / f"{split}-00000-of-00001.parquet", rows)
    return root


def test_the_name_of_the_folder_that_is_given_chooses_nothing_in_it(tmp_path: Path) -> None:
    clone = clones(tmp_path / "DocVQA", "DocVQA", "InfographicVQA")  # as git clone calls it
    assert [row.image_id for row in rows_of_docvqa(clone)] == ["d0_1"]
    assert [row.image_id for row in rows_of_docvqa(clone / "DocVQA")] == ["d0_1"]
    assert [row.image_id for row in rows_of_docvqa(tmp_path)] == ["d0_1"]
    parts = clones(tmp_path / "parts", "DocVQA/a", "DocVQA/b", "InfographicVQA")
    assert [row.image_id for row in rows_of_docvqa(parts)] == ["d0_1", "d1_1"]
    beside = clones(tmp_path / "data", "textvqa", "vqav2")
    with pytest.raises(ConfigError, match=r"in several folders \(textvqa, vqav2\), and none is called data"):
        rows_of_docvqa(beside, "vqav2")


def test_two_folders_of_the_name_are_not_mixed(tmp_path: Path) -> None:
    root = clones(tmp_path, "textvqa/data", "vqav2/data")
    with pytest.raises(ConfigError, match=r"\(textvqa/data, vqav2/data\), and several are called data"):
        rows_of_docvqa(root, "vqav2")


def test_another_split_is_never_read_instead(tmp_path: Path) -> None:
    root = clones(tmp_path / "hub", "DocVQA")
    with pytest.raises(ConfigError, match=r"no file of the split test: there are validation"):
        rows_of_docvqa(root, split="test")
    file = root / "DocVQA" / "validation-00000-of-00001.parquet"
    assert len(rows_of_docvqa(file, split="test")) == 1, "a file is given by itself"
    file.rename(file.with_name("mine.parquet"))
    assert len(rows_of_docvqa(root, split="test")) == 1


def rows_of_docvqa(path: Path, dataset: str = "docvqa", **settings: Any) -> list[Row]:
    return [row for row in open_dataset(dataset, data_path=path, **settings).rows() if isinstance(row, Row)]


@pytest.mark.parametrize(
    "stray", ["._a.parquet", ".hidden/a.parquet", "_temporary/0/a.parquet", "_a.parquet", "~$a.parquet"]
)
def test_hidden_and_temporary_files_are_no_shards(tmp_path: Path, stray: str) -> None:
    (tmp_path / stray).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / stray).write_bytes(b"\0\5\x16\7")
    with pytest.raises(ConfigError, match="holds no .parquet file|hidden or temporary"):
        rows_of(tmp_path)
    with pytest.raises(ConfigError, match=r"no Parquet file at .* but hidden or temporary ones \("):
        list(open_dataset("parquet", data_path=tmp_path).rows())
    shard(tmp_path / "a.PARQUET", IMAGES)
    assert sizes(tmp_path) == [(64, 48), (32, 16)]


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    table = pa.table(
        [pa.array(["a"]), pa.array(["?"]), pa.array(["x"]), pa.array(["y"])], ["id", "question", "image", "image"]
    )
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match="a row needs id .*, image and question, each once"):
        rows_of(tmp_path)


def test_an_answer_that_is_a_decimal_keeps_the_places_that_are_written(tmp_path: Path) -> None:
    """As databases export amounts: on the page stands 12.00."""
    told = [Decimal("12.00"), Decimal("0.50"), Decimal("1200.00"), None]
    cells = {"id": ["a", "b", "c", "d"], "image": [IMAGES[0]] * 4, "question": ["?"] * 4}
    table = pa.table({**cells, "answer": pa.array(told, pa.decimal128(10, 2))})
    pq.write_table(table, tmp_path / "t.parquet")
    answers = [question.answers for row in rows_of(tmp_path / "t.parquet") for question in row.questions]
    assert answers == [("12.00",), ("0.50",), ("1200.00",), None]


@pytest.mark.parametrize("text", ['{"data": []}', '\ufeff [{"questionId": 1}]'])
def test_json_given_as_a_table_says_how_it_is_read(tmp_path: Path, text: str) -> None:
    """DocVQA's own download is JSON; the hub's is Parquet."""
    file = tmp_path / "val_v1.0.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"it is JSON: give it as the data set itself \(--dataset FILE"):
        list(open_dataset("docvqa", data_path=file).rows())
