"""What browsers read is read; what they would show in part is an error that says the true reason."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from saccade.errors import PictureError
from saccade.picture import Picture
from tests.broken_images import encoded, page
from tests.decoding.handmade import chunk, png

LINES = b"".join(b"\0" + line.tobytes() for line in np.asarray(page()))
HUGE = zlib.compress(bytes(3_000_000))


def reads(data: bytes) -> bool:
    found = Picture.open(data)
    return found.size_px == (64, 48) and bool(np.array_equal(found.rgb, np.asarray(page())))


@pytest.mark.parametrize(
    "bad",
    [
        chunk(b"tEXt", b"Comment\0hello", checksum=1),
        chunk(b"zTXt", b"Comment\0\0" + HUGE),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + HUGE),
        chunk(b"iCCP", b"sRGB\0\0" + HUGE),
        chunk(b"iCCP", b"sRGB\0\0not zlib at all"),
        chunk(b"iCCP", b"sRGB\0\7what"),
        chunk(b"pHYs", b"\0"),
        chunk(b"gAMA", b"", checksum=7),
        chunk(b"cHRM", b"\0" * 5),
        chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
        chunk(b"eXIf", b"anything", checksum=3),
        chunk(b"tIME", b"\xff" * 40),
        chunk(b"abCd", b"private" * 1000, checksum=9),
        chunk(b"tEXt", b"key\0" + b"x" * 1_500_000) * 50,
        chunk(b"acTL", b"\0" * 8),
    ],
    ids=range(15),
)
@pytest.mark.parametrize("where", ["before", "after"])
def test_png_with_damage_beside_its_pixels(bad: bytes, where: str) -> None:
    data = png(64, 48, 8, 2, LINES, bad) if where == "before" else png(64, 48, 8, 2, LINES, after=bad)
    assert reads(data)


def test_transparency_and_orientation_survive_the_mending() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    extra = PngImagePlugin.PngInfo()
    extra.add_text("Comment", "x" * 2_000_000, zip=True)
    image = page().quantize(8)
    data = encoded(image, exif=exif, pnginfo=extra, transparency=0)
    assert Picture.open(data).size_px == (48, 64)
    assert Picture.open(data).rgb.shape == (64, 48, 3)


def test_png_without_its_last_chunk_and_with_more_behind_it() -> None:
    whole = png(64, 48, 8, 2, LINES)
    assert reads(whole[:-12]) and reads(whole + b"trailing garbage" * 99)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(64, 48, 8, 2, LINES[:3000]), "image file is truncated"),
        (png(64, 48, 3, 2, LINES), "broken PNG file of"),
        (png(64, 48, 8, 2, LINES).replace(b"IHDR", b"IHDS"), "broken PNG file of"),
        (png(0, 48, 8, 2, b""), "0 x 48|broken PNG|has no pixel"),
        (b"\x89PNG\r\n\x1a\n", "broken PNG file of 8 bytes"),
        (b"\xff\xd8\xff\xe0", "broken JPEG file of 4 bytes"),
        (b"x", "not an image: 1 bytes that begin with"),
        (b"GIF89a", "broken GIF file of 6 bytes"),
        (b"II*\0\x08\0\0\0", "broken TIFF file of 8 bytes"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "broken WEBP file of|cannot read the image's header"),
        (b"<!DOCTYPE html><html>404</html>", "It is a web page, perhaps the error page of a download"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "It is an SVG drawing, which has no pixels: export it as PNG"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "It is a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(40), "It is a zip archive or an office document"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "It is HEIC: save it as JPEG or PNG"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "It is an XML document, perhaps the error"),
        (png(64, 48, 8, 2, LINES).replace(b"\n", b"\r\n"), "It is a PNG that was copied as if it were text"),
        (png(64, 48, 8, 2, LINES).decode("latin-1").encode(), "It is a PNG that was copied as if it were text"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + png(64, 48, 8, 2, LINES), "It is what a web server sent, with its header"),
        (b"\0\5\x16\7" + bytes(80), "AppleDouble"),
        (b"\xff\x0a" + bytes(80), "It is JPEG XL"),
        (bytes(4096), "all zero, as a broken copy leaves them"),
        (b"data:image/png;base64,iVBOR", "It is a data: URI as text"),
    ],
)
def test_the_true_reason(data: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        _ = Picture.open(data).rgb


def blocks(data: bytes, *more: bytes) -> bytes:
    """A JPEG with more blocks behind its start."""
    return data[:2] + b"".join(more) + data[2:]


def block(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize(
    "more",
    [
        [block(0xE2, b"ICC_PROFILE\0\1\3garbage")],
        [block(0xE2, b"ICC_PROFILE\0" + bytes([n, 200]) + b"x" * 60_000) for n in range(1, 200)],
        [block(0xE2, b"MPF\0II*\0\xff\xff\xff\x7f")],
        [block(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\1\xb0\1\0\4\0\0\0\1\xff\xff\xff\xff\0\0\0\0")],
        [block(0xED, b"Photoshop 3.0\x008BIM\4\4\xff\xff")],
        [block(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")],
        [block(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x" + b"y" * 60_000)] * 20,
        [block(0xFE, b"c" * 65_000)] * 50,
        [block(0xE0, b"JFIF\0\1")],
    ],
    ids=range(9),
)
def test_jpeg_with_damage_beside_its_pixels(more: list[bytes]) -> None:
    whole = encoded(page(), "JPEG")
    np.testing.assert_array_equal(Picture.open(blocks(whole, *more)).rgb, Picture.open(whole).rgb)


def test_a_jpeg_that_lacks_its_end_marker_alone() -> None:
    whole = encoded(page(200, 200), "JPEG")
    np.testing.assert_array_equal(Picture.open(whole[:-2]).rgb, Picture.open(whole).rgb)
    for cut in (20, 200, len(whole) // 2):
        with pytest.raises(PictureError, match="truncated"):
            _ = Picture.open(whole[:-cut]).rgb


def printed() -> Image.Image:
    """A white page with lines of text and a red stamp."""
    sheet = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((0, 0, 90, 90), fill="red")
    for y in range(100, 290, 20):
        draw.text((10, y), "Invoice number 1234, total 99.50", fill="black")
    return sheet


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["no_end", "end"])
def test_a_jpeg_of_white_paper_that_ends_early_is_an_error_wherever_it_is_cut(end: bytes) -> None:
    """What is missing is grey, whatever decoders make of a few bytes too many on white."""
    whole = encoded(printed(), "JPEG")
    begin = whole.index(b"\xff\xda") + 20
    read = []
    for cut in range(begin, len(whole) - 600, 101):
        try:
            read.append(Picture.open(whole[:cut] + end).rgb)
        except PictureError as error:
            assert "truncated" in str(error)
    assert read == []


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
def test_a_png_with_a_wrong_bit_in_its_pixels_is_an_error(mode: str) -> None:
    """Also where it unpacks all the same."""
    whole = encoded(printed().convert(mode))
    begin, end = whole.index(b"IDAT") + 6, whole.rindex(b"IEND") - 12
    for at in range(begin, end, max(1, (end - begin) // 40)):
        bad = whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]
        with pytest.raises(PictureError, match="cannot decode the image"):
            _ = Picture.open(bad).rgb


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once() -> None:
    whole = encoded(page(64, 64), "JPEG", progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    with pytest.raises(PictureError, match="scans; at most 100 are decoded"):
        _ = Picture.open(whole[:-2] + scan * 3000 + whole[-2:]).rgb
