"""The cause in one line: a TMPDIR too long, no room in memory or on the disk, no permission. Paths are only names."""

import errno
import os
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from pipelines.commands.app import expected
from pipelines.execute import diagnosis
from pipelines.execute.plan import Plan, survived
from pipelines.reporting.subjects import file_name
from pipelines.runs import stored
from pipelines.runs.files import picture_path, read_parquet, write_parquet
from pipelines.runs.resume import locked_folder
from saccade.errors import ConfigError


@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_long_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    long = tmp_path / ("x" * 95)
    long.mkdir()
    monkeypatch.setenv(name, str(long))
    said = diagnosis.before_ray()
    assert said is not None and said.startswith(f"{name} is too long for Ray's sockets (")
    assert said.endswith("set RAY_TMPDIR=/tmp")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert diagnosis.before_ray() is None


@pytest.mark.parametrize(
    ("full", "said"),
    [
        ("/dev/shm", "/dev/shm is full (3 MiB are free, Ray needs 128)"),
        ("/tmp", "the disk of '/tmp' is full (3 MiB are"),
    ],
)
def test_no_room_for_ray(monkeypatch: pytest.MonkeyPatch, full: str, said: str) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    monkeypatch.setattr(diagnosis, "free_bytes", lambda folder: 3 << 20 if str(folder) == full else 1 << 40)
    assert (diagnosis.before_ray() or "").startswith(said)


def test_a_temporary_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/gone")
    assert "Ray cannot write to '/gone', where RAY_TMPDIR says" in (diagnosis.before_ray() or "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "cannot write or read '/data/x': No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "'/x': Permission denied (you may not)"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot write or read a file: Read-only file system"),
        (OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28]"), "(the disk is full: make room)"),
    ],
)
def test_errors_of_the_system_are_one_line(error: OSError, said: str) -> None:
    assert said in (expected(error) or "") and "\n" not in (expected(error) or "")


def test_a_full_disk_costs_the_run_and_not_a_row(tmp_path: Path) -> None:
    full, other = OSError(errno.ENOSPC, "No space left on device"), OSError(errno.ENOENT, "No such file")
    plan = cast(Plan, None)
    with pytest.raises(OSError, match="No space left"):
        survived(full, plan)
    assert survived(other, plan) is other and diagnosis.is_full(OSError(errno.EDQUOT, "Quota exceeded"))


def test_a_folder_whose_name_is_not_unicode_is_refused_before_anything_is_answered(tmp_path: Path) -> None:
    output = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Gr\xf6sse"))
    with pytest.raises(ConfigError, match="not Unicode"), locked_folder(output, {}, resume=False):
        pass
    assert not output.exists()


def test_other_errors_of_the_system_stay_what_they_are() -> None:
    assert expected(OSError("what")) is None and expected(ConnectionError("what")) is None


@pytest.mark.parametrize("path", ["/proc/run", "/dev/null/run", "{tmp}/file/run"])
def test_a_run_that_cannot_be_written(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write to .*: .*Name a folder that you may write to"):
        with locked_folder(Path(path.replace("{tmp}", str(tmp_path))), {}, resume=False):
            pass


def test_a_picture_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for path, said in (
        (Path("/proc/looked.png"), "cannot write '/proc/looked.png': No such file"),
        (tmp_path / "folder.png", "it is a folder"),
        (tmp_path / "gone" / "a.png", "there is no folder"),
        (tmp_path / ("x" * 300 + ".png"), "File name too long"),
    ):
        with pytest.raises(ConfigError, match=said):
            picture_path(path)
    assert picture_path(tmp_path / "new.png") == tmp_path / "new.png" and not (tmp_path / "new.png").exists()
    assert len(list(tmp_path.iterdir())) == 1


NAMES = ("number=5", "source=a", "image_id=zz", "questions=4", "a?b", "a*b", "100%20", "a#b", "é", "s3:", "x" * 200)


@pytest.mark.parametrize("name", NAMES)
def test_parquet_in_every_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "answers"
    folder.mkdir(parents=True)
    table = pa.table({"number": [1, 2], "id": ["a", "b"], "error": pa.array([None, "x"], pa.string())})
    write_parquet(table, folder / "0.parquet")
    assert read_parquet(folder / "0.parquet").equals(table)
    assert read_parquet(folder / "0.parquet", ["id"]).column_names == ["id"]
    (tmp_path / name / "run.yaml").write_text("{}")
    row: dict[str, Any] = stored.row(tmp_path / name, "b")
    assert (row["id"], row["error"], row["variant"]) == ("b", "x", None)


def test_names_of_pictures_for_ids_of_any_length() -> None:
    assert file_name("a/b?.png") == "a_b_.png"
    long = [file_name("é" * 100_000 + end) for end in "ab"]
    assert len(set(long)) == 2 and all(len(name.encode()) < 200 for name in long)
