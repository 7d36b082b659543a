"""A folder of images: every image-like file is a row, whatever is inside; everything else is skipped by name."""

import os
from pathlib import Path

import pytest

from saccade.datasets import Row, Skip, open_dataset
from saccade.errors import ConfigError, PictureError
from tests import broken_images


def test_the_folder_of_horrors_lists_every_image(tmp_path: Path) -> None:
    expected = broken_images.make(tmp_path)
    dataset = open_dataset(str(tmp_path), question="What is it?")
    rows = list(dataset.rows())
    assert [row.image_id for row in rows if isinstance(row, Row)] == sorted(expected)
    for row in rows:
        assert isinstance(row, Row)
        (question,) = row.questions
        assert (question.id, question.text, question.answers) == (row.image_id, "What is it?", None)
        sample = dataset.sample(row, limit_px=1_000_000)
        if expected[row.image_id] is None:
            assert sample.picture.rgb.size > 0
        else:
            with pytest.raises(PictureError):
                _ = sample.picture.rgb


def test_sub_folders_count_hidden_files_do_not_and_others_are_skipped(tmp_path: Path) -> None:
    for name in ("b/x.JPG", "a.png", ".hidden.png", ".git/y.png", "notes.txt", "b/noending"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    items = list(open_dataset(str(tmp_path), question="?").rows())
    assert [i.image_id for i in items if isinstance(i, Row)] == ["a.png", "b/x.JPG"]
    assert [i for i in items if isinstance(i, Skip)] == [
        Skip("not_an_image", "b/noending"),
        Skip("not_an_image", "notes.txt"),
    ]


def test_a_name_that_is_no_unicode_cannot_be_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.png")).write_bytes(b"x")
    items = list(open_dataset(str(tmp_path), question="?").rows())
    assert Skip("bad_file_name", "\\udcff.png") in items and len(items) == 2
    open_dataset(str(tmp_path), question="?").fingerprint()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(ConfigError, match=r"holds no question about an image \(skipped: not_an_image 1\)"):
        list(open_dataset(str(tmp_path), question="?").rows())


def test_the_fingerprint_is_that_of_names_and_question(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    first = open_dataset(str(tmp_path), question="?").fingerprint()
    (tmp_path / "a.png").write_bytes(broken_images.encoded(broken_images.page()))  # mended, for --retry-errors
    assert open_dataset(str(tmp_path), question="?").fingerprint() == first
    assert open_dataset(str(tmp_path), question="!").fingerprint() != first
    (tmp_path / "b.png").touch()
    assert open_dataset(str(tmp_path), question="?").fingerprint() != first
