"""Reads a damaged file as browsers do: without the parts that do not affect its pixels.

Pillow refuses a PNG for a wrong checksum in a comment, for a text or a colour profile that unpacks to more than a
megabyte, a JPEG for a strange block of its camera's maker, or because its last two bytes are missing. None of that
touches a pixel, so the file is read without it. Damage in the pixels themselves stays an error.
"""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
PNG_USED = (b"tRNS", b"eXIf")  # ancillary, and looked at: transparency and orientation
END = b"\xff\xd9"  # the last marker of a JPEG
FILLED_PX = 8
"""Rows and columns at the lower right of a picture that show whether the decoder filled in missing data."""

PADDING = (bytes(64), bytes(7 * n * n % 251 for n in range(1024)))
"""Substitutes for missing data: pixels that differ between them were not in the file. One looks like nothing: what
decodes to a shade a little off is no difference on white paper."""


def mended(data: bytes) -> Iterator[bytes]:
    """Repaired copies of a refused file; none if there is nothing to leave out or to add."""
    if data.startswith(PNG):
        yield _png(data)
    elif data.startswith(b"\xff\xd8"):
        bare = _jpeg(data)
        yield bare
        if END not in bare[-32:] and _is_complete(bare):
            yield bare + END


def _png(data: bytes) -> bytes:
    """A PNG with all critical chunks, and those ancillary ones that are used and intact."""
    chunks, at = [PNG], len(PNG)
    while at + 8 <= len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        chunk = data[at : at + length + 12]
        at += length + 12
        critical = kind[0] & 32 == 0
        if critical or (kind in PNG_USED and zlib.crc32(chunk[4:-4]).to_bytes(4, "big") == chunk[-4:]):
            chunks.append(chunk)
        if kind == b"IEND":
            break
    return b"".join(chunks)


def is_altered(data: bytes) -> bool:
    """Whether the pixels of a PNG are other than they were written, by their checksums: it may unpack all the same."""
    at = len(PNG)
    while data.startswith(PNG) and at + 12 <= len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 8 + length
        if kind == b"IDAT" and end + 4 <= len(data):
            if zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
                return True
        elif kind == b"IEND":
            break
        at = end + 4
    return False


def _jpeg(data: bytes) -> bytes:
    """A JPEG without comments and application blocks, except those for orientation (Exif) and colours."""
    blocks, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:  # fill
            at += 1
            continue
        if kind == 0xDA:  # pixels from here on
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        block = data[at : at + 2 + length]
        exif = kind == 0xE1 and block[4:8] == b"Exif"
        colours = kind == 0xEE or (kind == 0xE0 and length >= 16)  # Adobe, JFIF
        if exif or colours or not (0xE0 <= kind <= 0xEF or kind == 0xFE):
            blocks.append(block)
        at += 2 + length
    return b"".join([*blocks, data[at:]])


def ends_early(image: Image.Image, data: bytes) -> bool:
    """Whether a decoded JPEG has fewer lines in it than it states, and an end marker that hides it: what is missing is
    filled with one shade. A page that truly ends in one shade is decoded a second time to tell."""
    if image.format != "JPEG" or image.info.get("progressive") or image.height <= FILLED_PX:
        return False
    last = image.crop((max(0, image.width - FILLED_PX), image.height - FILLED_PX, *image.size)).getextrema()
    pairs = last if isinstance(last[0], tuple) else (last,)
    if any(low != high for low, high in pairs):
        return False
    end = data.rfind(END)
    return end > 0 and _is_complete(data[:end]) is False


def _is_complete(data: bytes) -> bool | None:
    """Whether a baseline JPEG lacks its end marker alone: then its pixels are the same whatever follows them. None: it
    cannot be told."""
    try:
        pixels = []
        for padding in PADDING:
            with Image.open(io.BytesIO(data + padding + END), formats=["JPEG"]) as image:
                if image.info.get("progressive"):
                    return None
                small = max(1, image.width // 8), max(1, image.height // 8)
                image.draft("L", small)  # the blocks' mean shades are enough
                pixels.append(np.asarray(image))
        return bool(np.array_equal(pixels[0], pixels[1]))
    except Exception:  # as everywhere here: parsers of foreign bytes raise anything
        return None
