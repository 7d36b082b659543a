"""Names of files and folders are names: nothing in them means anything else, and what is left out is said."""

import json
import os
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.datasets import Row, Skip, open_dataset
from saccade.datasets._walk import located, walked
from saccade.errors import ConfigError
from tests.broken_images import encoded, page

NAMES = (
    "number=5", "image_id=zz", "a?b", "a*b", "a[b]", "100%20", "a#b", "a b", "-x", "~x", "$HOME", "{a,b}", "a\\b",
    "a'b\"c", "a\nb", "http:", "s3:", "file:", "é", "日本", "🙂", "x.", "CON", "x" * 200, "a|b", "a;b", "#page=2",
)  # fmt: skip
PNG = encoded(page())


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_a_folder_and_of_a_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / f"in {name[:80]}"
    folder.mkdir(parents=True)
    (folder / f"{name[:80]}.png").write_bytes(PNG)
    dataset = open_dataset(str(tmp_path / name), question="?")
    (row,) = (item for item in dataset.rows() if isinstance(item, Row))
    assert dataset.sample(row).picture.size_px == (64, 48)
    lines = folder / f"{name[:80]}.jsonl"
    lines.write_text(json.dumps({"id": name, "image": f"{name[:80]}.png", "question": "?"}))
    dataset = open_dataset(str(lines))
    (row,) = (item for item in dataset.rows() if isinstance(item, Row))
    assert (row.questions[0].id, dataset.sample(row).picture.size_px) == (name, (64, 48))
    table = pa.table({"id": [name], "image": [f"{name[:80]}.png"], "question": ["?"]})
    with (folder / f"{name[:80]}.parquet").open("wb") as file:
        pq.write_table(table, file)
    dataset = open_dataset(str(tmp_path / name))
    found = [item for item in dataset.rows() if isinstance(item, Row)]
    assert len(found) == 1 and dataset.sample(found[0]).picture.size_px == (64, 48)


def test_names_that_differ_in_how_accents_are_written(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Café/Ångström.png") for form in ("NFC", "NFD"))
    for on_disk, listed in ((composed, apart), (apart, composed)):
        (tmp_path / on_disk).parent.mkdir(exist_ok=True)
        (tmp_path / on_disk).write_bytes(PNG)
        assert located(tmp_path, listed) == tmp_path / on_disk
        (tmp_path / listed).parent.mkdir(exist_ok=True)
        (tmp_path / listed).write_bytes(b"another file")
        assert located(tmp_path, listed) == tmp_path / listed  # the very name wins
        for name in (on_disk, listed):
            (tmp_path / name).unlink()
    assert located(tmp_path, apart) == tmp_path / apart


def test_names_as_windows_writes_them(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "é.png").write_bytes(PNG)
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"id": 1, "image": "scans\\e\u0301.png", "question": "?"}))
    dataset = open_dataset(str(path))
    (row,) = (item for item in dataset.rows() if isinstance(item, Row))
    assert dataset.sample(row).picture.size_px == (64, 48)
    (tmp_path / "scans\\é.png").write_bytes(b"a file of that very name")
    assert located(tmp_path, "scans\\é.png") == tmp_path / "scans\\é.png"


def test_linked_folders_are_walked_once_each(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside / "real", outside):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(PNG)
    (inside / "a_link").symlink_to(inside / "real")
    (inside / "circle").symlink_to(inside)
    (inside / "away").symlink_to(outside)
    (inside / "again").symlink_to(outside)
    (inside / "nowhere").symlink_to(tmp_path / "gone")
    (inside / "file.png").symlink_to(outside / "a.png")
    items = list(open_dataset(str(inside), question="?").rows())
    assert [item.image_id for item in items if isinstance(item, Row)] == ["again/a.png", "file.png", "real/a.png"]
    assert [item for item in items if isinstance(item, Skip)] == [Skip("not_an_image", "nowhere")]


def test_folders_that_cannot_be_read_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open", "locked"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(PNG)
    scan = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    items = list(open_dataset(str(tmp_path), question="?").rows())
    assert Skip("unreadable_folder", "locked (Permission denied)") in items and len(items) == 2
    with pytest.raises(ConfigError, match="cannot read the folder '.*/locked': Permission denied"):
        open_dataset(str(tmp_path))


def test_the_output_of_a_run_is_no_part_of_the_data_around_it(tmp_path: Path) -> None:
    """Else a run whose output lies among its images could not be resumed: its own answers would be new data."""
    for name in ("scans/a.png", "scans/sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    dataset = open_dataset(str(tmp_path / "scans"), question="?")
    before = dataset.fingerprint()
    for name in ("sub/run/.saccade/left.parquet", "sub/run/answers/0.parquet", "sub/run/looked.png"):
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "scans" / name).touch()
    assert dataset.fingerprint() == before and len(list(dataset.rows())) == 2
    assert walked(tmp_path / "scans" / "sub" / "run", (".",), lambda *_: None) == ["answers/0.parquet", "looked.png"]


def test_walking_is_sorted_and_leaves_out_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b/2", "b/10", "a", ".h/x", "c/.x", "_t/y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert walked(tmp_path, (".",), lambda *_: None) == ["_t/y", "a", "b/10", "b/2"]
    assert walked(tmp_path / "b", (), lambda *_: None) == ["10", "2"]
