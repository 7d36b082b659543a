"""A file that cannot be read is called by a format only if it begins as files of that format do."""

import re
import struct

import numpy as np
import pytest

from saccade.errors import PictureError
from saccade.picture import Picture
from tests.broken_images import encoded, page

KINDS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "JPEG2000", "PPM", "ICO")
MARKS = {  # of the formats' own specifications
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF.{4}WEBP",
    "AVIF": rb".{4}ftyp",
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+|II\0\*|MM\*\0",  # Pillow reads the last two as well
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "DIB": rb"[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "PPM": rb"P[0-6fy](\s|#|$|CMYK|P|RGBA)",
    "ICO": rb"\x00\x00\x01\x00..",
}


def error_of(data: bytes) -> str:
    """What is said of bytes; "": they were read."""
    try:
        assert Picture.open(data).rgb.ndim == 3
    except PictureError as error:
        assert str(error).strip() and "\n" not in str(error)
        return str(error)
    return ""


def named(message: str) -> str | None:
    """The format that a message calls a file by."""
    found = re.match(r"a broken (\w+) file", message)
    return found and found[1]


def check(data: bytes) -> None:
    name = named(error_of(data))
    assert name is None or re.match(MARKS[name], data, re.DOTALL), f"{data[:16]!r} is called {name}"


def file_of(kind: str) -> bytes:
    return encoded(page(), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_random_bytes_behind_the_beginning_of_a_mark(kind: str) -> None:
    whole, rng = file_of(kind), np.random.default_rng(KINDS.index(kind))
    for length in range(17):
        for _ in range(4):
            check(whole[:length] + rng.bytes(300 - length))


@pytest.mark.parametrize("start", [b"P%c" % last for last in b"0123456fy"] + [b"BM", b"\0\0\1\0\0\0", b"(\0\0\0"])
def test_a_short_mark_alone_names_nothing(start: bytes) -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        message = error_of(start + b"\xc0" + rng.bytes(300 - len(start)))
        assert message.startswith("not an image: ") and "begin with" in message


def test_random_bytes_are_no_image() -> None:
    rng = np.random.default_rng(3)
    for first in range(256):
        for size in (1, 2, 5, 300):
            check((bytes([first]) + rng.bytes(size))[:size])


@pytest.mark.parametrize(
    "text", [b"P3 is the third part", b"BMW 320", b"Pf. 12,50", b"GIF is a format", b"RIFF", b"P5"]
)
def test_text_that_begins_like_a_mark(text: bytes) -> None:
    check(text)
    assert (named(error_of(text)) is None) == (text != b"P5")  # that is all of a mark


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_called_by_its_own_format(kind: str) -> None:
    whole = file_of(kind)
    sizes = sorted({*range(1, 64), *np.linspace(64, len(whole) - 1, 12, dtype=int).tolist()} - {0})
    for size in (size for size in sizes if size < len(whole)):
        message = error_of(whole[:size])
        assert named(message) in (None, kind), (size, message)
        if size >= 32:
            own = named(message) == kind or "cannot decode the image" in message or "cannot read" in message
            assert own or not message or "px" in message, (size, message)


def test_a_bitmap_that_states_a_strange_header_is_no_bitmap() -> None:
    whole = file_of("BMP")
    strange = whole[:14] + struct.pack("<I", 41) + whole[18:]
    assert named(error_of(strange)) is None and named(error_of(whole[:40])) == "BMP"
