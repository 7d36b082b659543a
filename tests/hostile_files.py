# ruff: noqa: E501 (files, byte by byte)
"""Broken and hostile images and PDFs, made here: bombs, truncations, headers that lie, huge blocks beside the pixels.

Each is (name, bytes, reason): a part of the message that refuses it, or None where it must be read. `HUGE` ones stand
for what would fill a memory or keep a processor busy.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.broken_images import encoded, page, png_header
from tests.decoding.handmade import PNG, chunk, png, tiff

Case = tuple[str, bytes, str | None]
BUSY = "keeps its reader busy"
LINES = b"".join(b"\0" + line.tobytes() for line in np.asarray(page()))
BOMB = zlib.compress(bytes(64_000_000), 9)


def pngs() -> Iterator[Case]:
    """PNG."""
    good = png(64, 48, 8, 2, LINES)
    yield "png bomb of pixels", png_header(60_000, 60_000), "pixels that are decoded"
    yield "png just beyond", png_header(12_000, 12_000), "12000 x 12000 px"
    yield "png with a side of 2^31", png_header(2**31 - 1, 1), "pixels"
    yield "png without width", png(0, 48, 8, 2, b""), ""
    yield "png without height", png(64, 0, 8, 2, b""), ""
    yield "png of 3 bits", png(64, 48, 3, 2, LINES), "broken PNG"
    yield "png of colour type 7", png(64, 48, 8, 7, LINES), "broken PNG"
    yield "png palette without palette", png(64, 48, 8, 3, b"".join(b"\0" + bytes(64) for _ in range(48))), None
    yield "png with too few lines", png(64, 48, 8, 2, LINES[:4000]), "truncated"
    yield "png with too many lines", png(64, 48, 8, 2, LINES * 500), None
    yield (
        "png whose pixels unpack to 64 MB",
        PNG
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", BOMB)
        + chunk(b"IEND", b""),
        None,
    )
    yield "png text bomb", png(64, 48, 8, 2, LINES, chunk(b"zTXt", b"k\0\0" + BOMB)), None
    yield "png profile bomb", png(64, 48, 8, 2, LINES, chunk(b"iCCP", b"k\0\0" + BOMB)), None
    yield (
        "png of 2000 text bombs",
        png(64, 48, 8, 2, LINES, *[chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(900_000)))] * 2000),
        None,
    )
    yield (
        "png exif that lies",
        png(64, 48, 8, 2, LINES, chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + b"\1\x12" * 9000)),
        None,
    )
    yield "png chunk longer than the file", good[:33] + b"\x7f\xff\xff\xffIDAT" + good[41:], ""
    yield "png header twice", good[:33] + good[8:], None
    yield "png checksum of its header", good[:29] + b"\0\0\0\0" + good[33:], "broken PNG"
    yield "png checksum of its pixels", good[:-16] + b"\0\0\0\0" + good[-12:], ""
    yield "png signature alone", PNG, "broken PNG"
    yield "png cut in its header", good[:20], "a broken PNG file of 20 bytes: Truncated File Read"
    yield "png filter 9", png(64, 48, 8, 2, b"".join(b"\x09" + bytes(192) for _ in range(48))), ""
    yield "png animation of nothing", png(64, 48, 8, 2, LINES, chunk(b"acTL", struct.pack(">II", 2**31, 0))), None
    yield "png behind an html page", b"<html>" + good, "It is a web page"
    yield "png gzipped", gzip.compress(good), "It is gzip-compressed"


def jpegs() -> Iterator[Case]:
    """JPEG."""
    good = encoded(page(200, 160), "JPEG")
    sof = good.index(b"\xff\xc0")

    def sized(width: int, height: int) -> bytes:
        return good[: sof + 5] + struct.pack(">HH", height, width) + good[sof + 9 :]

    yield "jpeg half", good[: len(good) // 2], "truncated"
    yield "jpeg that claims 65535 x 65535", sized(65_535, 65_535), "pixels that are decoded"
    yield "jpeg that claims more lines", sized(200, 8000), "truncated"
    yield "jpeg half with an end", good[: len(good) // 2] + b"\xff\xd9", "truncated"
    yield "jpeg of a blank page", encoded(Image.new("L", (640, 480), 255), "JPEG"), None
    yield "jpeg without width", sized(0, 160), ""
    yield "jpeg without height", sized(200, 0), ""
    yield "jpeg without tables", good.replace(b"\xff\xdb", b"\xff\xee", 1), ""
    yield "jpeg without its end", good[:-2], None
    yield "jpeg of 0xFF", b"\xff\xd8" + b"\xff" * 5000, "broken JPEG"
    yield "jpeg start alone", b"\xff\xd8\xff", "broken JPEG"
    yield "jpeg of zeros", b"\xff\xd8\xff\xe0" + bytes(5000), "broken JPEG"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(65_000)
    yield (
        "jpeg with 4 MB of exif",
        good[:2] + (b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif) * 60 + good[2:],
        None,
    )
    icc = b"ICC_PROFILE\0\1\1" + b"\xff" * 60_000
    yield (
        "jpeg with garbage for a profile",
        good[:2] + b"\xff\xe2" + struct.pack(">H", len(icc) + 2) + icc + good[2:],
        None,
    )
    progressive = encoded(page(64, 64), "JPEG", progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    yield "jpeg of 20,000 scans", progressive[:-2] + scan * 20_000 + b"\xff\xd9", "scans; at most 100 are decoded"
    yield "jpeg in which everything is a restart", good[:-2] + b"\xff\xd0" * 50_000 + b"\xff\xd9", None
    yield "jpeg of 12 bits", good[: sof + 4] + b"\x0c" + good[sof + 5 :], ""


def others() -> Iterator[Case]:
    """GIF, WebP, BMP, TIFF, ICO, JPEG 2000, PPM, AVIF."""
    yield "gif half", encoded(page(200, 200), "GIF")[:3000], ""
    yield (
        "gif of 65535 x 65535",
        b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0;",
        "pixels",
    )
    yield "gif without frames", b"GIF89a\x01\0\x01\0\0\0\0;", ""
    frames = [Image.new("L", (8, 8), n % 256) for n in range(500)]
    yield "gif of 500 frames", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), None
    webp = encoded(page(), "WEBP")
    yield "webp half", webp[: len(webp) // 2], ""
    yield "webp whose size lies", webp[:4] + b"\xff\xff\xff\x7f" + webp[8:], ""
    yield "webp header alone", b"RIFF\x24\0\0\0WEBPVP8 ", ""
    bmp = encoded(page(), "BMP")
    yield "bmp of 2^31 lines", bmp[:22] + struct.pack("<i", -(2**31)) + bmp[26:], "pixels"
    yield "bmp of 30000 x 30000", bmp[:18] + struct.pack("<ii", 30_000, 30_000) + bmp[26:], "pixels"
    yield "bmp without width", bmp[:18] + struct.pack("<i", 0) + bmp[22:], ""
    yield "bmp half", bmp[: len(bmp) // 2], "truncated"
    yield "bmp of 77 bits", bmp[:28] + struct.pack("<H", 77) + bmp[30:], "Unsupported BMP pixel depth (77)"
    good = tiff(64, 48, 8, bytes(64 * 48))
    yield "tiff half", encoded(page(200, 200), "TIFF")[:9000], ""
    yield "tiff whose directory is outside", good[:4] + b"\xff\xff\xff\x7f" + good[8:], "broken TIFF"
    yield "tiff whose directory is itself", b"II*\0\x04\0\0\0" + bytes(64), ""
    yield "tiff of 60000 x 60000", tiff(60_000, 60_000, 8, bytes(64)), "pixels"
    yield "tiff without width", tiff(0, 48, 8, bytes(64)), ""
    yield "tiff of 5 bits", tiff(64, 48, 5, bytes(64 * 48)), "broken TIFF"
    yield "tiff whose pixels are missing", tiff(640, 480, 8, bytes(64)), ""
    deflated = encoded(Image.new("L", (10_000, 10_000)), "TIFF", compression="tiff_adobe_deflate")
    yield "tiff of 100 million pixels in 100 kB", deflated, None
    yield "tiff deflated, cut", deflated[: len(deflated) // 2], ""
    yield "bigtiff header alone", b"II+\0\x08\0\0\0" + bytes(8), ""
    yield "ico of 0 sizes", b"\0\0\1\0\0\0", ""
    yield "ico whose size lies", b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\xff\xff\xff\x7f\x16\0\0\0", ""
    jp2 = encoded(page(), "JPEG2000")
    yield "jpeg 2000 half", jp2[: len(jp2) // 2], ""
    at = jp2.index(b"\xff\x51")
    yield "jpeg 2000 of 2^31 px", jp2[: at + 6] + b"\x7f\xff\xff\xff\x7f\xff\xff\xff" + jp2[at + 14 :], ""
    yield "ppm of 10^9 px a side", b"P6 1000000000 1000000000 255\n", "pixels"
    yield "ppm without pixels", b"P6 64 48 255\n", "truncated"
    yield "ppm of a size in words", b"P6\nwide high 255\n", "a broken PPM file of 17 bytes"
    yield "avif header alone", b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(64), ""


def jpeg2000(width_px: int, height_px: int) -> bytes:
    """Some 200 bytes that state a size, and hold no pixels."""

    def marked(marker: int, content: bytes) -> bytes:
        return struct.pack(">HH", marker, 2 + len(content)) + content

    size = struct.pack(">HIIIIIIIIH", 0, width_px, height_px, 0, 0, width_px, height_px, 0, 0, 4) + b"\x07\1\1" * 4
    coding = b"\0\0\0\1\0" + bytes([5, 4, 4, 0, 1])
    tile = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 114, 0, 1) + b"\xff\x93" + bytes(100)
    return (
        b"\xff\x4f" + marked(0xFF51, size) + marked(0xFF52, coding) + marked(0xFF5C, b"\x40" * 17) + tile + b"\xff\xd9"
    )


def endless() -> Iterator[Case]:
    """Within all limits of pixels and bytes, and read for minutes."""
    tags = [(256, 3, 1, 16), (257, 3, 1, 16), *((1000 + n, 3, 1, 1) for n in range(20_000))]
    entries = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    at = [8 + n * (len(entries) + 4) for n in range(1, 120)]
    yield (
        "tiff of directories of 20,000 tags",
        b"II*\0\x08\0\0\0" + b"".join(entries + struct.pack("<I", n) for n in [*at, 0]),
        BUSY,
    )
    yield "ppm of ten million comments", b"P3\n64 64\n255\n" + b"#\n" * 10_000_000, BUSY
    yield "jpeg 2000 of 100 million pixels in 200 bytes", jpeg2000(10_000, 10_000), BUSY


def no_images() -> Iterator[Case]:
    """What stands in the place of images."""
    svg = b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg><image href='http://127.0.0.1/'/></svg>"
    yield "svg with references", svg, "It is an SVG drawing"
    yield (
        "svg without a prolog",
        b"<svg xmlns='http://www.w3.org/2000/svg'><use href='#x'/></svg>",
        "It is an SVG drawing",
    )
    yield "postscript that deletes", b"%!PS-Adobe-3.0 EPSF-3.0\n(rm) deletefile\n", "It is PostScript"
    yield "html", b"\n <!DOCTYPE HTML><title>404</title>", "It is a web page"
    yield "git lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n", "It is a Git LFS pointer"
    yield "office document", b"PK\x03\x04" + bytes(100), "It is a zip archive or an office document"
    yield "heic", b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(64), "It is HEIC"
    yield "dicom", bytes(128) + b"DICM" + bytes(64), "It is DICOM"
    yield "psd", b"8BPS\0\1" + bytes(64), "It is a Photoshop file"
    yield "zeros", bytes(100_000), "all zero"
    yield "noise", np.random.default_rng(0).integers(0, 256, 100_000, np.uint8).tobytes(), "not an image"
    yield "one byte", b"\x89", "not an image: 1 bytes"


def document(
    page_entries: bytes = b"/MediaBox[0 0 200 100]", content: bytes = b"0 0 100 50 re f", more: bytes = b""
) -> bytes:
    """A PDF of one page, without a table of references: pdfium mends that."""
    return (
        b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R" + page_entries + b"/Contents 4 0 R/Resources<<" + more + b">>>>endobj\n"
        b"4 0 obj<</Length " + str(len(content)).encode() + b">>stream\n" + content + b"\nendstream endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF"
    )


def pdfs() -> Iterator[Case]:
    """PDF."""
    whole = encoded(page(), "PDF")
    yield "pdf mended", document(), None
    yield "pdf mark alone", b"%PDF-1.7\n", "the PDF is broken"
    yield "pdf half", whole[: len(whole) // 2], ""
    yield "pdf without its end", whole[:-30], ""
    yield "pdf of a kilometre", document(b"/MediaBox[0 0 2834645 2834645]"), None
    yield "pdf of a line", document(b"/MediaBox[0 0 1 100000000]"), ""
    yield "pdf without area", document(b"/MediaBox[0 0 0 0]"), None
    yield "pdf of infinite size", document(b"/MediaBox[0 0 1e39 1e39]"), ""
    yield "pdf of not-a-number", document(b"/MediaBox[nan inf 5 5]"), None
    yield "pdf without pages", document().replace(b"/Kids[3 0 R]/Count 1", b"/Kids[]/Count 0"), ""
    yield "pdf whose pages are their own parent", document().replace(b"/Kids[3 0 R]", b"/Kids[2 0 R]"), ""
    yield "pdf of a billion pages", document().replace(b"/Count 1", b"/Count 1000000000"), ""
    yield "pdf content that is a form of itself", document(content=b"/X Do", more=b"/XObject<</X 4 0 R>>"), None
    yield (
        "pdf that opens a site",
        document().replace(b"/Type/Catalog", b"/Type/Catalog/OpenAction<</S/URI/URI(http://127.0.0.1/)>>"),
        None,
    )
    yield (
        "pdf that runs javascript",
        document().replace(b"/Type/Catalog", b"/Type/Catalog/OpenAction<</S/JavaScript/JS(while(1){})>>"),
        None,
    )
    yield "pdf of a million strokes", document(content=b"0 0 m 200 100 l S\n" * 1_000_000), BUSY
    yield (
        "pdf stream bomb",
        document().replace(
            b"<</Length 15>>stream\n0 0 100 50 re f",
            b"<</Filter/FlateDecode/Length " + str(len(BOMB)).encode() + b">>stream\n" + BOMB,
        ),
        None,
    )
    yield "pdf of nested arrays", document(content=b"[" * 200_000), None
    yield (
        "pdf image that claims 60000 x 60000",
        document(content=b"100 0 0 100 0 0 cm BI /W 60000 /H 60000 /BPC 8 /CS /RGB ID \0 EI"),
        None,
    )
    yield (
        "pdf encrypted",
        document().replace(
            b"/Root 1 0 R",
            b"/Root 1 0 R/Encrypt<</Filter/Standard/V 1/R 2/O("
            + b"x" * 32
            + b")/U("
            + b"y" * 32
            + b")/P -4>>/ID[(a)(a)]",
        ),
        "is encrypted",
    )


def cases() -> list[Case]:
    """All of them."""
    all_cases = [*pngs(), *jpegs(), *others(), *endless(), *no_images(), *pdfs()]
    assert len({name for name, _, _ in all_cases}) == len(all_cases)
    return all_cases


def as_read(data: bytes) -> np.ndarray:
    """What Pillow reads of a good file, for comparison."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
