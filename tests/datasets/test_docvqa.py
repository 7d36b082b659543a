"""DocVQA in the exact lmms-lab layout: pages grouped, answers hidden, images unread until asked for; no network."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.datasets import Dataset, Row, Skip, open_dataset
from saccade.datasets._parquet import ParquetQuestions
from saccade.errors import ConfigError, PictureError
from tests.broken_images import encoded, page
from tests.docvqa_layout import row, write

ROOT = Path(__file__).parents[2]
PAGES = [encoded(page(40 + n, 30)) for n in range(3)]  # told apart by their width


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Seven questions on three pages of two documents, over three row groups; the pages alternate."""
    order = [("pybv0228", 0), ("pybv0228", 1), ("xnbl0037", 0), ("pybv0228", 0), ("pybv0228", 0), ("xnbl0037", 0)]
    images = {("pybv0228", 0): PAGES[0], ("pybv0228", 1): PAGES[1], ("xnbl0037", 0): PAGES[2]}
    rows = [row(n, document, at, images[document, at]) for n, (document, at) in enumerate(order)]
    rows[1]["answers"], rows[2]["answers"] = None, []
    return write(tmp_path / "val.parquet", [*rows, row(6, "pybv0228", 1, PAGES[1])])


def listed(dataset: Dataset) -> tuple[list[Row], list[Skip]]:
    items = list(dataset.rows())
    return [i for i in items if isinstance(i, Row)], [i for i in items if isinstance(i, Skip)]


def test_questions_of_a_page_are_one_row_with_its_image(file: Path) -> None:
    dataset = open_dataset("docvqa", data_path=file)
    rows, skips = listed(dataset)
    assert skips == []
    assert [(r.image_id, [q.id for q in r.questions]) for r in rows] == [
        ("pybv0228_0", ["49153", "49156", "49157"]),
        ("pybv0228_1", ["49154", "49159"]),
        ("xnbl0037_0", ["49155", "49158"]),
    ]
    assert [dataset.sample(r).picture.size_px for r in rows] == [(40, 30), (41, 30), (42, 30)]
    question = rows[0].questions[0]
    assert (question.text, question.answers) == ("What is value 0?", ("0.0", ".0"))
    assert question.metadata == {"question_types": ["figure/diagram"]}


def test_hidden_answers_are_none(file: Path) -> None:
    rows, _ = listed(open_dataset("docvqa", data_path=file))
    hidden = {q.id for r in rows for q in r.questions if q.answers is None}
    assert hidden == {"49154", "49155"}  # null, and an empty list


def test_every_row_is_opened_from_its_own_place(tmp_path: Path) -> None:
    images = [encoded(page(10 + n, 10)) for n in range(25)]
    file = write(tmp_path / "x.parquet", [row(n, f"d{n}", 0, image) for n, image in enumerate(images)], 11)
    dataset = open_dataset("docvqa", data_path=file)
    rows, _ = listed(dataset)
    assert [dataset.picture(r.source).data for r in rows] == images
    travelled = pickle.loads(pickle.dumps((dataset, dataset.sample(rows[20]))))
    assert travelled[0] == dataset and travelled[1].picture.data == images[20]


def test_doc_id_names_a_page_that_has_no_ucsf_id(tmp_path: Path) -> None:
    rows = [row(n, "x", 3, PAGES[0], ucsf_document_id=None) for n in range(2)]
    rows.append(row(2, "x", 3, PAGES[0], ucsf_document_id=None, docId=None))
    listing, _ = listed(open_dataset("docvqa", data_path=write(tmp_path / "x.parquet", rows)))
    assert [(r.image_id.rpartition("/")[2], len(r.questions)) for r in listing] == [("14468", 2), ("x.parquet#2", 1)]


def test_missing_ids_questions_and_images_are_skipped_and_empty_images_are_errors(tmp_path: Path) -> None:
    rows = [
        row(0, "a", 0, PAGES[0]),
        row(1, "a", 0, PAGES[0], questionId=None),
        row(2, "a", 0, PAGES[0], question=""),
        row(3, "a", 0, None) | {"image": None},
        row(0, "b", 0, PAGES[0]),
        row(5, "c", 0, None),
        row(6, "d", 0, b""),
        row(7, "e", 0, None) | {"image": {"bytes": None, "path": "there.png"}},
    ]
    (tmp_path / "there.png").write_bytes(PAGES[2])
    dataset = open_dataset("docvqa", data_path=write(tmp_path / "x.parquet", rows))
    listing, skips = listed(dataset)
    assert skips == [
        Skip("no_id", "x.parquet:1"),
        Skip("no_question", "x.parquet:2"),
        Skip("no_image", "x.parquet:3"),
        Skip("duplicate_id", "x.parquet:4 (id '49153')"),
    ]
    opened = {r.image_id: dataset.sample(r).picture for r in listing}
    assert opened["a_0"].size_px == (40, 30) and opened["e_0"].size_px == (42, 30)
    for image_id in ("c_0", "d_0"):
        with pytest.raises(PictureError, match="row [56] of '.*x.parquet' has no image"):
            _ = opened[image_id].data


@pytest.mark.parametrize("form", ["{}.parquet", "DocVQA/{}/0000.parquet", "{}_0.parquet"])
def test_splits_are_told_by_the_name_of_the_file_or_of_its_folder(tmp_path: Path, form: str) -> None:
    """As people save them, and as the hub converts them: train and test are no part of validation."""
    for number, split in enumerate(("train", "val", "test")):
        write(tmp_path / form.format(split), [row(number, f"doc{number}", 1, PAGES[0])])
    (found,), _ = listed(open_dataset("docvqa", data_path=tmp_path))
    assert [question.id for question in found.questions] == ["49154"]
    (found,), _ = listed(open_dataset("docvqa", data_path=tmp_path, split="test"))
    assert [question.id for question in found.questions] == ["49155"]
    (found,), _ = listed(open_dataset("docvqa", data_path=tmp_path / form.format("train")))  # given by itself: meant
    assert [question.id for question in found.questions] == ["49153"]


def test_a_folder_is_read_in_order_and_by_split(tmp_path: Path) -> None:
    for shard in range(2):
        write(tmp_path / f"DocVQA/validation-{shard:05}-of-00002.parquet", [row(shard, f"v{shard}", 0, PAGES[shard])])
    write(tmp_path / "DocVQA/test-00000-of-00001.parquet", [row(9, "t", 0, PAGES[2], answers=None)])
    rows, _ = listed(open_dataset("docvqa", data_path=tmp_path))
    assert [r.image_id for r in rows] == ["v0_0", "v1_0"]
    rows, _ = listed(open_dataset("docvqa", data_path=tmp_path, split="test"))
    assert [(r.image_id, r.questions[0].answers) for r in rows] == [("t_0", None)]


def test_another_layout_is_refused_by_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"], "text": ["x"]}), tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match="has the columns id, text; a row needs questionId, image and question"):
        list(open_dataset("docvqa", data_path=tmp_path / "x.parquet").rows())


def test_files_that_are_missing_or_broken_are_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no Parquet file at '.*/no.parquet'"):
        open_dataset("docvqa", data_path=tmp_path / "no.parquet").rows()
    with pytest.raises(ConfigError, match="there is no Parquet file"):
        open_dataset("docvqa", data_path=tmp_path).rows()
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ConfigError, match="cannot read the Parquet file '.*x.parquet'"):
        open_dataset("docvqa", data_path=tmp_path / "x.parquet").rows()
    with pytest.raises(ConfigError, match="cannot read the Parquet file '.*x.parquet'"):
        open_dataset("docvqa", data_path=tmp_path / "x.parquet").fingerprint()


def test_a_file_that_changed_or_went_costs_its_rows(file: Path) -> None:
    dataset = open_dataset("docvqa", data_path=file)
    assert isinstance(dataset, ParquetQuestions)
    with pytest.raises(PictureError, match="has no row 99: the file has changed"):
        _ = dataset.picture(f"{file}#99").data
    picture = dataset.picture(f"{file}#0")
    file.unlink()
    with pytest.raises(PictureError, match="cannot read row 0 of"):
        _ = picture.data


def test_the_fingerprint_follows_the_content_and_not_the_place(file: Path, tmp_path: Path) -> None:
    first = open_dataset("docvqa", data_path=file).fingerprint()
    copy = tmp_path / "elsewhere" / file.name
    copy.parent.mkdir()
    copy.write_bytes(file.read_bytes())
    assert open_dataset("docvqa", data_path=copy).fingerprint() == first
    assert listed(open_dataset("docvqa", data_path=copy)) == listed(open_dataset("docvqa", data_path=file))
    write(copy, [row(0, "a", 0, PAGES[0])])
    assert open_dataset("docvqa", data_path=copy).fingerprint() != first


def test_neither_listing_nor_opening_loads_the_images(tmp_path: Path) -> None:
    """200 rows of 500 kB of noise in one row group, opened at its end: 100 MB that must not be in memory at once.

    They are written a row at a time: Arrow reads a Parquet page whole, and by default it writes 1024 rows into one.
    """
    noise = np.random.default_rng(0)
    rows = [row(n, f"d{n}", 0, noise.bytes(500_000)) for n in range(200)]
    write(tmp_path / "x.parquet", rows, row_group_size=200, write_batch_size=1)
    code = (
        "import sys\nfrom saccade.datasets import open_dataset\nimport pyarrow.parquet\n"
        "from tests.resident import resident_mib\n"
        "dataset = open_dataset('docvqa', data_path=sys.argv[1])\n"
        "before = resident_mib('VmRSS')\n"
        "rows = list(dataset.rows())\nassert len(rows) == 200\n"
        "assert len(dataset.picture(rows[-1].source).data) == 500_000\n"
        "print(int(resident_mib('VmHWM') - before))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.parquet")]
    grown_mb = int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert grown_mb < 80


def test_without_a_network_it_says_at_once_how_to_give_a_path(tmp_path: Path) -> None:
    """In its own process: the hub's client reads its settings at import. Nothing listens at that address."""
    code = (
        "from saccade.datasets import open_dataset\nfrom saccade.errors import ConfigError\n"
        "try: open_dataset('docvqa').rows()\nexcept ConfigError as error: print(error)\n"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert time.monotonic() - started < 60
    assert "cannot download lmms-lab/DocVQA" in done.stdout and "--data-path FILE" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("reachable", "cached", "found"), [(True, 0, True), (False, 2, True), (False, 1, False), (False, 0, False)]
)
def test_the_hub_or_a_whole_copy_in_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reachable: bool, cached: int, found: bool
) -> None:
    """A stand-in for the hub: two files, and a cache that a broken download may have left with one of them."""
    import huggingface_hub

    def info(*_: object, **__: object) -> SimpleNamespace:
        if not reachable:
            raise OSError("no route to the hub")
        return SimpleNamespace(sha="1234")

    def snapshot(*_: object, local_files_only: bool = False, **__: object) -> str:
        for shard in range(cached if local_files_only else 2):
            name = f"DocVQA/validation-{shard:05}-of-00002.parquet"
            write(tmp_path / name, [row(shard, f"v{shard}", 0, PAGES[shard])])
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    if found:
        rows, _ = listed(open_dataset("docvqa"))
        assert [r.image_id for r in rows] == ["v0_0", "v1_0"]
    else:
        with pytest.raises(ConfigError, match="from the Hugging Face hub: OSError: no route to the hub. Without"):
            open_dataset("docvqa").rows()
