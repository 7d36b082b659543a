"""Files of several pages: each page is its own picture, and no page is taken in silence."""

import os
import pickle
import signal
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saccade.decoding import child, isolated, pdf
from saccade.decoding.child import Child, Children
from saccade.decoding.pages import chosen, lacking, number_of
from saccade.errors import ConfigError, PictureError
from saccade.picture import Picture
from tests.broken_images import encoded, page
from tests.hostile_files import jpeg2000

COLOURS = ("red", "lime", "blue")
SHEETS = [Image.new("RGB", (60 + 10 * n, 40), colour) for n, colour in enumerate(COLOURS)]


def file_of(kind: str, sheets: list[Image.Image] = SHEETS) -> bytes:
    """All sheets in one file; a PDF has one pixel a point."""
    more = {"resolution": 72.0} if kind == "PDF" else {}
    first, *rest = [sheet.copy() for sheet in sheets]  # Pillow leaves its settings of one format on an image
    return encoded(first, kind, save_all=True, append_images=rest, **more)


def directories(data: bytes) -> list[int]:
    """Where the directories of a little-endian TIFF begin."""
    found, at = [], struct.unpack_from("<I", data, 4)[0]
    while at:
        found.append(at)
        at = struct.unpack_from("<I", data, at + 2 + 12 * struct.unpack_from("<H", data, at)[0])[0]
    return found


def patched(data: bytes, at: int, value: int) -> bytes:
    """With another 32-bit number at a place."""
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_each_page_is_a_picture(kind: str) -> None:
    data = file_of(kind)
    scale = pdf.DPI / 72 if kind == "PDF" else 1
    for number, sheet in enumerate(SHEETS, start=1):
        picture = Picture.open(data, page=number)
        assert picture.num_pages == 3
        assert np.allclose(picture.size_px, np.array(sheet.size) * scale, atol=1)
        assert picture.rgb.shape == (*picture.size_px[::-1], 3)
        assert np.abs(picture.rgb[9, 9].astype(int) - np.asarray(sheet)[0, 0]).max() < 12  # the PDF holds a JPEG
        travelled = pickle.loads(pickle.dumps(picture))
        assert travelled.page == number and travelled.sha256 == picture.sha256
    assert len({Picture.open(data, page=n).sha256 for n in (1, 2, 3)}) == 3


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_no_page_is_taken_in_silence(kind: str) -> None:
    with pytest.raises(
        PictureError,
        match=r"the file has 3 pages, and a picture is one of them: choose one .--pages 1 to --pages 3, "
        r"in Python saccade.Picture.open\(path, page=1\)",
    ):
        _ = Picture.open(file_of(kind)).rgb
    for wrong in (4, 9999):
        with pytest.raises(PictureError, match=f"there is no page {wrong}: the file has 3 pages"):
            _ = Picture.open(file_of(kind), page=wrong).size_px
    assert Picture.open(file_of(kind, SHEETS[:1])).rgb.shape[2] == 3  # one page needs no number
    with pytest.raises(PictureError, match="there is no page 2: the file has 1 page$"):
        _ = Picture.open(file_of(kind, SHEETS[:1]), page=2).rgb
    assert Picture.open(encoded(page()), page=2).size_px == (64, 48)  # a PNG has no pages
    with pytest.raises(ConfigError, match="page = 0 must be at least 1"):
        Picture.open(file_of(kind), page=0)


def test_frames_thumbnails_and_sizes_are_no_pages() -> None:
    for kind in ("GIF", "PNG", "WEBP"):
        assert number_of(file_of(kind, [Image.new("RGB", (9, 9), colour) for colour in COLOURS])) == 1
    assert number_of(encoded(page(), "ICO", sizes=[(16, 16), (32, 32)])) == 1
    copied = encoded(page(), "TIFF", tiffinfo={254: 1})
    assert number_of(copied) == 1 and Picture.open(copied).size_px == (64, 48)  # a copy alone is still a picture


def test_reduced_copies_and_masks_between_the_pages() -> None:
    """What scanners put beside each page: the second frame is a reduced copy, the fourth a mask."""
    marked = [Image.new("RGB", (20 + n, 10), COLOURS[n % 3]) for n in range(4)]
    images = [image.copy() for image in marked]
    data = encoded(images[0], "TIFF", save_all=True, append_images=images[1:], tiffinfo={254: 0})
    starts = directories(data)
    assert len(starts) == 4
    for frame, kind in ((1, 1), (3, 4)):
        entries = struct.unpack_from("<H", data, starts[frame])[0]
        for n in range(entries):
            at = starts[frame] + 2 + 12 * n
            if struct.unpack_from("<H", data, at)[0] == 254:
                data = patched(data, at + 8, kind)
    assert number_of(data) == 2 and Picture.open(data, page=2).size_px == (22, 10)


def test_a_tiff_whose_pages_lead_in_a_circle_ends() -> None:
    data = file_of("TIFF")
    last = directories(data)[-1]
    pointer = last + 2 + 12 * struct.unpack_from("<H", data, last)[0]
    for target in (directories(data)[0], last, len(data) - 3, 2**31):
        assert number_of(patched(data, pointer, target)) == 3


def test_pages_are_reduced_and_upright() -> None:
    large = [Image.new("L", (400, 300), 200), Image.new("L", (300, 400), 100)]
    for kind in ("TIFF", "PDF"):
        rgb = Picture.open(file_of(kind, large), limit_px=5000, page=2).rgb
        assert rgb.shape[0] > rgb.shape[1] and 5000 <= rgb.shape[0] * rgb.shape[1] < 20_000
        assert abs(int(rgb[9, 9, 0]) - 100) < 8


@pytest.mark.parametrize(
    ("pages", "there", "found"),
    [
        (None, 3, [1, 2, 3]),
        ("1,3-5", 9, [1, 3, 4, 5]),
        ("1,3-5", 4, [1, 3, 4]),
        ("3-", 5, [3, 4, 5]),
        (" 2 , 1 ", 5, [1, 2]),
        ("7", 5, []),
        ("1-3,2-4", 9, [1, 2, 3, 4]),
    ],
)
def test_lists_of_pages(pages: str | None, there: int, found: list[int]) -> None:
    assert chosen(pages, there) == found


@pytest.mark.parametrize(
    ("pages", "missing"),
    [
        (None, ""),
        ("1,3", ""),
        ("2-", ""),
        ("1,3-5", "pages 4-5"),
        ("2,9", "page 9"),
        ("1-4", "page 4"),
        ("7-", "page 7"),
        ("2,4-5,9", "pages 4-5,9"),
    ],
)
def test_what_a_file_of_three_pages_lacks(pages: str | None, missing: str) -> None:
    assert lacking(pages, 3) == missing


@pytest.mark.parametrize("pages", ["", "0", "a", "3-1", "1,,2", "1.5", "-3", "1 2", "1-2-3", "9" * 30])
def test_what_is_no_list_of_pages(pages: str) -> None:
    with pytest.raises(ConfigError, match="is no page or range of pages; write 1,3-5 or 7-"):
        chosen(pages, 9)


def test_a_pdf_is_drawn_on_white_and_found_behind_other_bytes() -> None:
    data = file_of("PDF", [Image.new("RGB", (60, 40), "red")])
    assert Picture.open(b"HTTP header\r\n" + data).rgb[5, 5, 0] > 240


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"%PDF-1.7\n", "the PDF is broken"),
        (file_of("PDF")[:300], "the PDF is broken"),
        (b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
         b"trailer<</Root 1 0 R>>", "the PDF (has no pages|is broken)"),
    ],
)  # fmt: skip
def test_broken_pdfs_say_so(data: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        _ = Picture.open(data).rgb


@pytest.mark.parametrize(("kind", "reader"), [("PDF", pdf), ("TIFF", isolated)])
def test_a_reader_that_dies_costs_one_picture_and_one_that_hangs_too(
    kind: str, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = file_of(kind)
    assert reader.number_of_pages(data) == 3
    process = reader._children.idle[-1]._process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert reader.number_of_pages(data) == 3  # another one was started
    os.kill(reader._children.idle[-1]._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(child, "TIMEOUT_S", 0.5)
    with pytest.raises(PictureError, match="keeps its reader busy for more than 0.5 s"):
        reader.number_of_pages(data)
    monkeypatch.undo()
    assert reader.number_of_pages(data) == 3


def test_what_needs_too_much_memory_costs_one_picture() -> None:
    """As much as is allowed for the largest image, here of 200 bytes."""
    small = Children("_image_child.py", "the image")
    small.idle = [Child(small.program, small.what, memory_bytes=1 << 30)]
    with pytest.raises(PictureError, match=r"needs more than 1 GiB of memory"):
        small.ask(jpeg2000(10_000, 10_000), {"do": "decode", "page": None, "limit_px": 1000})
    assert small.ask(encoded(page(), "GIF"), {"do": "size", "page": None})[0]["width"] == 64
    small.close()


def test_pages_from_many_threads() -> None:
    data = file_of("PDF")
    barrier = threading.Barrier(4)

    def one(number: int) -> int:
        barrier.wait()
        return int(Picture.open(data, page=number % 3 + 1).rgb[9, 9].argmax())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(12))) == [0, 1, 2] * 4
