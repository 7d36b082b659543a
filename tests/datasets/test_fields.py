"""The same fields of every image, whatever data set lists the images; patterns and tar files among them."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.runs.config import without_paths
from saccade.annotation.fields import FieldSpec
from saccade.datasets import Row, Skip, open_dataset, open_images
from saccade.datasets.fields import Fields
from saccade.errors import ConfigError, PictureError
from tests import tiny

FIELDS = (FieldSpec(name="total", question="What is the total?"), FieldSpec(name="date", question="When?", type="date"))


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tiny.page(60, 40, seed=seed)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "b").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(0))
    (folder / "b" / "c.png").write_bytes(png(1))
    (folder / "notes.txt").write_text("no image")
    pages = [Image.fromarray(tiny.page(60, 40, seed=seed)) for seed in (2, 3)]
    pages[0].save(folder / "fax.tif", save_all=True, append_images=pages[1:])
    return folder


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def listed(images: str, pages: str | None = None) -> tuple[list[Row], list[Skip], Fields]:
    dataset = Fields(images=open_images(images, pages).spec(), fields=FIELDS)
    entries = list(dataset.rows())
    return [r for r in entries if isinstance(r, Row)], [r for r in entries if isinstance(r, Skip)], dataset


def test_a_folder_is_asked_every_field_of_every_page(scans: Path) -> None:
    rows, skips, dataset = listed(str(scans))
    assert [row.image_id for row in rows] == ["a.png", "b/c.png", "fax.tif#page=1", "fax.tif#page=2"]
    assert [q.id for q in rows[0].questions] == ["a.png:total", "a.png:date"]
    assert rows[0].questions[0].metadata == {"field": "total"}
    assert rows[3].questions[1].metadata == {"field": "date", "page": 2}
    assert [skip.reason for skip in skips] == ["not_an_image"]
    assert dataset.picture(rows[3].source).size_px == (60, 40)
    assert dataset.path(rows[3].source) == scans / "fax.tif"


def test_pages_are_chosen(scans: Path) -> None:
    rows, _, _ = listed(str(scans / "fax.tif"), pages="2")
    assert [row.image_id for row in rows] == ["fax.tif#page=2"]


def test_a_pattern_and_a_url(scans: Path) -> None:
    rows, _, dataset = listed(str(scans / "**" / "*.png"))
    assert [row.image_id for row in rows] == ["a.png", "b/c.png"]
    assert dataset.path(rows[1].source) == scans / "b" / "c.png"
    rows, skips, dataset = listed(f"file://{scans}")
    assert [row.image_id for row in rows] == ["a.png", "b/c.png", "fax.tif#page=1", "fax.tif#page=2"]
    assert dataset.picture(rows[1].source).data == png(1) and dataset.path(rows[1].source) is None
    assert [skip.reason for skip in skips] == ["not_an_image"]


def test_a_pattern_that_names_nothing_is_refused(scans: Path) -> None:
    with pytest.raises(ConfigError, match="names no file"):
        listed(str(scans / "*.gif"))
    with pytest.raises(ConfigError, match="cannot open 'nosuch://x'"):
        listed("nosuch://x")
    with pytest.raises(ConfigError, match="no file or folder"):
        listed(str(scans / "none"))


def test_a_file_that_went_away_is_an_error_of_its_row(scans: Path) -> None:
    rows, _, dataset = listed(f"file://{scans}")
    (scans / "a.png").unlink()
    with pytest.raises(PictureError, match="cannot read the image file"):
        dataset.picture(rows[0].source).size_px  # noqa: B018


def test_tar_shards_are_read_in_place(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    tar(shards / "0.tar", {"x/1.png": png(0), "x/1.json": b"{}", "README": b"hello"})
    tar(shards / "1.tar", {"x/1.png": png(1)})
    rows, skips, dataset = listed(str(shards))
    assert [row.image_id for row in rows] == ["0.tar/x/1.png", "1.tar/x/1.png"]
    assert [dataset.picture(row.source).data for row in rows] == [png(0), png(1)]
    assert [(skip.reason, skip.where) for skip in skips] == [("not_an_image", "0.tar/README")]
    before = dataset.fingerprint()
    tar(shards / "1.tar", {"x/2.png": png(1)})
    assert listed(str(shards))[2].fingerprint() != before


def test_links_in_a_tar_are_images_like_their_files(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", {"x/1.png": png(0), "x/2.png": png(1)})
    with tarfile.open(path, "a") as file:
        for name, kind, target in (
            ("x/hard.png", tarfile.LNKTYPE, "x/1.png"),
            ("x/soft.png", tarfile.SYMTYPE, "2.png"),
            ("x/none.png", tarfile.LNKTYPE, "x/9.png"),
            ("x/loop.png", tarfile.SYMTYPE, "loop.png"),
            ("x/folder", tarfile.DIRTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            file.addfile(member)
    rows, skips, dataset = listed(str(path))
    assert [row.image_id for row in rows] == [f"0.tar/x/{name}.png" for name in ("1", "2", "hard", "soft")]
    assert [dataset.picture(row.source).data for row in rows] == [png(0), png(1)] * 2
    assert [(skip.reason, skip.where) for skip in skips] == [
        ("broken_link", "0.tar/x/none.png"),
        ("broken_link", "0.tar/x/loop.png"),
    ]


def test_a_file_in_a_tar_that_is_too_large_is_an_error_of_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.datasets.tar.MAX_FILE_BYTES", 10_000)
    rows, _, dataset = listed(str(tar(tmp_path / "0.tar", {"a.pdf": b"%PDF" + bytes(10_000), "b.png": png(0)[:9000]})))
    assert [row.image_id for row in rows] == ["0.tar/a.pdf", "0.tar/b.png"]
    with pytest.raises(PictureError, match="at most 10,000 are read"):
        dataset.picture(rows[0].source).data  # noqa: B018


@pytest.mark.parametrize("kept", [512 + 512 + 200, 512 + 512 + 600, 512 + 200])
def test_a_tar_that_is_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    """In a header, inside of the next file, and inside of the first: else its last images would be missing."""
    path = tar(tmp_path / "0.tar", {"a.png": png(0)[:400], "b.png": png(1)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ConfigError, match=r"is cut off or broken at byte 1,024: .* 1 member |unexpected end of data"):
        listed(str(path))


def test_a_tar_without_its_end_is_whole(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", {"a.png": png(0)[:400]})
    path.write_bytes(path.read_bytes()[:1024])
    assert [row.image_id for row in listed(str(path))[0]] == ["0.tar/a.png"]


def test_what_a_mac_puts_beside_files_in_a_tar_is_no_image(tmp_path: Path) -> None:
    files = {"./._a.png": b"\0\5\x16\7", "./a.png": png(0), "__MACOSX/._a.png": b"\0\5\x16\7", ".cache/b.png": png(1)}
    rows, skips, _ = listed(str(tar(tmp_path / "0.tar", files)))
    assert [row.image_id for row in rows] == ["0.tar/./a.png"] and skips == []


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz") as file:
        file.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(ConfigError, match="compressed"):
        listed(str(tmp_path / "a.tar"))


def test_lists_of_images_need_no_questions(scans: Path) -> None:
    lines = [{"image": "a.png"}, {"image": "b/c.png", "id": "7", "question": "Who?"}]
    (scans / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows, _, _ = listed(str(scans / "list.jsonl"))
    assert [(row.image_id, row.questions[0].text) for row in rows] == [
        ("a.png", "What is the total?"),
        ("b/c.png", "What is the total?"),
    ]
    pq.write_table(pa.table({"image": [png(0), png(1)]}), scans.parent / "images.parquet")
    rows, _, dataset = listed(str(scans.parent / "images.parquet"))
    assert len(rows) == 2 and dataset.picture(rows[1].source).data == png(1)
    with pytest.raises(ConfigError, match="a row needs id"):  # asked for questions of its own it has none
        list(open_dataset(str(scans.parent / "images.parquet")).rows())


def test_only_what_is_listed_is_asked(scans: Path, tmp_path: Path) -> None:
    only = tmp_path / "only.jsonl"
    only.write_text('["a.png", "date"]\n["fax.tif#page=2", "total"]\n')
    dataset = Fields(images=open_images(str(scans)).spec(), fields=FIELDS, only=str(only))
    rows = [row for row in dataset.rows() if isinstance(row, Row)]
    assert [q.id for row in rows for q in row.questions] == ["a.png:date", "fax.tif#page=2:total"]
    before = dataset.fingerprint()
    only.write_text('["a.png", "date"]\n')
    assert dataset.fingerprint() != before


def test_a_pattern_is_asked_for_and_choices_win_over_it(scans: Path) -> None:
    fields = [
        {"name": "when", "question": "When?", "pattern": "[0-9]{4}"},
        {"name": "kind", "question": "What?", "type": "yes/no", "pattern": "y.*"},
    ]
    dataset = Fields(images=open_images(str(scans)).spec(), fields=fields)
    row = next(row for row in dataset.rows() if isinstance(row, Row))
    assert [(q.pattern, q.choices) for q in row.questions] == [("[0-9]{4}", ()), (None, ("yes", "no"))]


def test_where_images_lie_is_no_part_of_a_runs_identity(scans: Path) -> None:
    moved = scans.rename(scans.with_name("moved"))
    there, here = (Fields(images=open_images(str(moved)).spec(), fields=FIELDS).spec() for _ in range(2))
    here["images"]["data_path"] = "/elsewhere"
    assert there != here and without_paths(there) == without_paths(here)
