"""More than a hundred broken and hostile files: each is read right or refused with its reason, in little time and
memory; and whatever is made of good files by chance is read or refused as well."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saccade.datasets import Row, open_dataset
from saccade.decoding import child
from saccade.decoding.pages import number_of
from saccade.errors import PictureError
from saccade.picture import Picture
from tests import hostile_files
from tests.broken_images import encoded, page
from tests.decoding.test_pages import SHEETS, file_of

ROOT = Path(__file__).parents[2]
CASES = hostile_files.cases()
MOST_S = 8.0
MOST_MIB = 900  # of a process that reads them all, one after the other: 100 million pixels take 400 by themselves
LIMIT_PX = 1_000_000


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "TIMEOUT_S", 4.0)


def test_there_are_enough() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize(("name", "data", "reason"), CASES, ids=[name for name, _, _ in CASES])
def test_each_is_read_or_refused_with_its_reason(
    name: str, data: bytes, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == hostile_files.BUSY:  # a fast machine might get through it in four seconds
        monkeypatch.setattr(child, "TIMEOUT_S", 0.5)
    started = time.monotonic()
    try:
        rgb = Picture.open(data, LIMIT_PX).rgb
    except PictureError as error:
        assert reason is not None and reason in str(error), str(error)
        assert str(error).strip() and len(str(error)) < 500 and "\n" not in str(error)
    else:
        assert not reason, f"it was read, {rgb.shape}"
        assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
    assert time.monotonic() - started < MOST_S


def test_what_is_read_in_spite_of_damage_is_read_right() -> None:
    rgb = np.asarray(page())
    for name, data, reason in CASES:
        if name.startswith("png") and reason is None and "palette" not in name and "unpack" not in name:
            np.testing.assert_array_equal(Picture.open(data).rgb, rgb, err_msg=name)


def test_together_they_take_little_memory() -> None:
    code = (
        "from saccade.decoding import child\nfrom saccade.picture import Picture\n"
        "from saccade.errors import PictureError\nfrom tests.hostile_files import cases\n"
        "from tests.resident import resident_mib\nchild.TIMEOUT_S = 1.0\n"
        "for name, data, _ in cases():\n"
        f"    try: Picture.open(data, {LIMIT_PX}).rgb\n"
        "    except PictureError: pass\n"
        "print(int(resident_mib('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) < MOST_MIB
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr


def test_in_a_folder_each_is_a_row_of_its_own(tmp_path: Path) -> None:
    quick = [case for case in CASES if "busy" not in (case[2] or "")]
    for number, (_, data, _) in enumerate(quick):
        (tmp_path / f"{number:03}.{'pdf' if b'%PDF' in data[:9] else 'png'}").write_bytes(data)
    dataset = open_dataset(str(tmp_path), question="?")
    rows = [row for row in dataset.rows() if isinstance(row, Row)]
    assert [row.image_id[:3] for row in rows] == [f"{number:03}" for number in range(len(quick))]
    for row, (name, _, reason) in zip(rows, quick, strict=True):
        try:
            assert dataset.sample(row, LIMIT_PX).picture.rgb.size and not reason, name
        except PictureError as error:
            assert reason is not None and reason in str(error), name


KINDS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "PPM", "ICO", "AVIF")
SEEDS = [
    *(encoded(page(), kind) for kind in KINDS),
    file_of("TIFF"),
    file_of("PDF", SHEETS[:1]),
    hostile_files.document(),
]
PATIENT = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@PATIENT
@given(st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole) - 1))
        kind = data.draw(st.sampled_from(["byte", "cut", "double", "zeros", "insert"]))
        if kind == "byte":
            whole[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del whole[at : at + data.draw(st.integers(1, 40))]
        elif kind == "double":
            whole[at:at] = whole[at : at + 200]
        elif kind == "zeros":
            whole[at : at + 30] = bytes(30)
        else:
            whole[at:at] = data.draw(st.binary(max_size=30))
        if not whole:
            return
    try:
        picture = Picture.open(
            bytes(whole), data.draw(st.sampled_from([None, 500])), data.draw(st.sampled_from([None, 1]))
        )
        assert picture.rgb.shape[2] == 3 and min(picture.size_px) >= 1
    except PictureError as error:
        assert str(error)


@PATIENT
@given(st.binary(max_size=400), st.sampled_from([seed[:16] for seed in SEEDS]))
def test_noise_behind_the_beginning_of_a_file(noise: bytes, begin: bytes) -> None:
    for data in (noise, begin + noise):
        try:
            assert number_of(data) >= 1
            assert Picture.open(data).rgb.shape[2] == 3
        except PictureError as error:
            assert str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("id", "question_id", "image", "question", "answers", "answer", "answer_boxes", "page")


@PATIENT
@given(lines=st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8), min_size=1, max_size=4))
def test_lines_of_any_values_are_rows_with_errors_or_skipped(tmp_path: Path, lines: list[dict[str, object]]) -> None:
    good = {"id": "good", "image": "a.png", "question": "?"}
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [good, *lines]))
    dataset = open_dataset(str(path))
    items = list(dataset.rows())
    rows = [item for item in items if isinstance(item, Row)]
    assert sum(len(row.questions) for row in rows) + len(items) - len(rows) == len(lines) + 1, "nothing is lost"
    for row in rows:
        assert row.image_id.encode() and all(q.id.encode() and q.text.encode() for q in row.questions)


@PATIENT
@given(st.binary(max_size=300))
def test_files_of_any_bytes_say_what_is_wrong(tmp_path: Path, content: bytes) -> None:
    from saccade.errors import ConfigError

    for name in ("q.jsonl", "q.json", "q.parquet"):
        (tmp_path / name).write_bytes(content)
        try:
            list(open_dataset(str(tmp_path / name)).rows())
        except ConfigError as error:
            assert name in str(error) or "Parquet" in str(error)
