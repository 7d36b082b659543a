"""Opens encoded bytes without decoding them; if they are not a supported image, says what they are."""

import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from saccade.decoding import FORMATS, MAX_DECODE_PX
from saccade.errors import PictureError

MAX_SCANS = 100
"""Progressive JPEGs hold about ten scans, each a pass over all pixels; a hostile one holds thousands."""

_warnings_lock = threading.Lock()  # warnings.catch_warnings changes the whole process

ELSE = (  # how files begin that stand in the place of others, what they are, and what to do
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (b"<svg", "an SVG drawing, which has no pixels: export it as PNG"),
    (b"<!doctype html", "a web page, perhaps the error page of a download: download it again"),
    (b"<html", "a web page, perhaps the error page of a download: download it again"),
    (b"<?xml", "an XML document, perhaps the error of a download: download it again"),
    (b"http/1.", "what a web server sent, with its header: download it again"),
    (b"\x89png", "a PNG that was copied as if it were text: copy it again"),
    (b"\xc2\x89png", "a PNG that was copied as if it were text: copy it again"),
    (b"\0\5\x16\7", "what a Mac keeps beside a file (AppleDouble), not the file itself"),
    (b"\xff\n", "JPEG XL: save it as JPEG or PNG"),
    (b"\0\0\0\x0cjxl ", "JPEG XL: save it as JPEG or PNG"),
    (b"qoif", "QOI: save it as PNG"),
    (b"%!ps", "PostScript, which is a program: export it as PDF or PNG"),
    (b"\xc5\xd0\xd3\xc6", "PostScript, which is a program: export it as PDF or PNG"),
    (b"8bps", "a Photoshop file: export it as PNG"),
    (b"pk\x03\x04", "a zip archive or an office document: unpack it, or export its pages as PDF"),
    (b"\x1f\x8b", "gzip-compressed: unpack it"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed: unpack it"),
    (b"bzh", "bzip2-compressed: unpack it"),
    (b"\xfd7zxz", "xz-compressed: unpack it"),
    (b"rar!", "an archive: unpack it"),
    (b"7z\xbc\xaf", "an archive: unpack it"),
    (b"djvu", "DjVu: convert it to PDF"),
    (b"at&tform", "DjVu: convert it to PDF"),
    (b"dicm", "DICOM: convert it to PNG"),
    (b"simple  =", "FITS: convert it to PNG"),
    (b"data:image/", "a data: URI as text: decode its base64, or give it as the image itself"),
    (b"ivborw0kggo", "base64 as text: decode it"),
    (b"/9j/", "base64 as text: decode it"),
)

HEADERS = (12, 40, 52, 56, 64, 108, 124)
"""Bytes that the header of a Windows bitmap may have, as its first field states."""

PNM = re.compile(rb"P(?:[1-6f]|0CMYK|yP|yRGBA|yCMYK)(?:\s*\Z|\n|\s+[#\d]|#)")

HEIF = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


@contextmanager
def quietly() -> Iterator[None]:
    """Suppresses Python's warnings in the block. Only one thread can be in it: keep it short."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_image(data: bytes) -> Image.Image:
    """Encoded bytes as a Pillow image whose pixels are not decoded yet.

    Raises:
        PictureError: the bytes are not an image of `FORMATS`, are broken, or beyond the limits; the message says which.
    """
    Image.init()
    try:
        with quietly():  # large or odd headers: decoding decides, and our own limit follows
            image = Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"the image is far beyond the {MAX_DECODE_PX:,} pixels that are decoded ({error}) Scale it down"
        ) from error
    except UnidentifiedImageError as error:  # its own text holds an address, different in every run
        raise PictureError(_what_it_is(data)) from error
    except Exception as error:  # a parser of foreign bytes raises anything: ValueError, struct.error, KeyError, ...
        raise PictureError(_what_it_is(data, str(error) or type(error).__name__)) from error
    check_size(image.width, image.height)
    if image.format in ("JPEG", "MPO") and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise PictureError(f"the JPEG has some {scans:,} scans; at most {MAX_SCANS} are decoded. Save it anew")
    return image


def check_size(width_px: int, height_px: int) -> None:
    """Raises PictureError for a size beyond `MAX_DECODE_PX`, or of 0 px."""
    if width_px < 1 or height_px < 1:
        raise PictureError(f"the image is {width_px} x {height_px} px: it has no pixel")
    if width_px * height_px > MAX_DECODE_PX:
        raise PictureError(
            f"the image is {width_px} x {height_px} px; at most {MAX_DECODE_PX:,} pixels are decoded. Scale it down"
        )


def _begins(name: str, accepts: Callable[[bytes], bool | str], data: bytes) -> bool:
    """Whether bytes begin like a format. Its first two to four bytes are not enough: Pillow takes P0 for a PPM."""
    try:
        return accepts(data[:16]) is True and SIGNED.get(name, bool)(data)
    except Exception:  # too few bytes for it to look at
        return False


def _is_bitmap(header: bytes) -> bool:
    """Whether the header of a Windows bitmap stands here: its size, and the number of planes, which is 1."""
    size, planes = int.from_bytes(header[:4], "little"), header[8:10] if header[0] == 12 else header[12:14]
    return size in HEADERS and planes == b"\1\0"


SIGNED: dict[str, Callable[[bytes], bool]] = {
    "PPM": lambda data: PNM.match(data) is not None,
    "BMP": lambda data: _is_bitmap(data[14:32]),
    "DIB": lambda data: _is_bitmap(data[:18]),
    "ICO": lambda data: data[4:6] not in (b"", b"\0\0") and data[9] == 0,  # it holds something; a byte that is always 0
}
"""Further checks for formats with a short signature."""


def stands_in(data: bytes) -> str | None:
    """The kind of a file given in place of an image or a table, by its first bytes, and what to do about it."""
    if data[4:8] == b"ftyp" and data[8:12] in HEIF:
        return "HEIC: save it as JPEG or PNG"
    if data[128:132] == b"DICM":
        return "DICOM: convert it to PNG"
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, kind in ELSE:
        if start.startswith(mark) or (mark == b"<svg" and start.startswith(b"<?xml") and mark in start):
            return kind
    return None


def _what_it_is(data: bytes, reason: str | None = None) -> str:
    """Why no format takes the bytes: the format that they begin as says what is wrong, others have a name.

    `reason` is what a parser stumbled over; it holds for the format that the bytes begin as, if there is one.
    """
    for name in FORMATS:
        factory, accepts = Image.OPEN.get(name, (None, None))
        if factory is None or accepts is None or not _begins(name, accepts, data):
            continue
        try:
            with quietly():
                factory(io.BytesIO(data), "")
        except Exception as error:  # whatever the parser stumbled over is the reason
            reason = str(error) or type(error).__name__
        if reason is not None:
            if reason == "not identified by this driver":  # what Pillow says of a size of 0 as well
                reason = "its header states no size, or a kind of pixels that there is not"
            return f"a broken {name} file of {len(data):,} bytes: {reason}"
    begins = f"{len(data):,} bytes that begin with {data[:12]!r}"
    if (kind := stands_in(data)) is not None:
        return f"not an image that is read: {begins}. It is {kind}"
    if not data.strip(b"\0"):
        return f"not an image: {len(data):,} bytes, all zero, as a broken copy leaves them. Copy it again"
    return f"not an image: {begins}; read are {', '.join(FORMATS)} and PDF"
