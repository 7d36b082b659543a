"""A folder with every kind of image that has broken a night's run, among good ones. Helper of several tests."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def page(width_px: int = 64, height_px: int = 48) -> Image.Image:
    """A small RGB picture: red grows to the right, green grows downwards, blue is constant."""
    x, y = np.meshgrid(np.linspace(0, 255, width_px), np.linspace(0, 255, height_px))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 128)], -1).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width_px: int, height_px: int, rows: int = 0) -> bytes:
    """A PNG that claims a size and holds a few pixels' worth of data, or so many black rows of it."""
    packer = zlib.compressobj()
    packed = packer.compress(b"\0" * 99) + b"".join(packer.compress(bytes(1 + 3 * width_px)) for _ in range(rows))
    packed += packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def make(folder: Path) -> dict[str, str | None]:
    """Fills a folder. Returns, by file name, None for what must be read, else a part of the reason why it is not."""
    jpeg = encoded(page(640, 480), "JPEG")
    frames = [page(), page().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    grey16 = Image.fromarray((np.asarray(page().convert("L")).astype(np.uint16) << 8) + 77)
    files: dict[str, tuple[bytes, str | None]] = {
        "animated.gif": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), None),
        "bomb.png": (png_header(60_000, 60_000), "120,000,000 pixels"),
        "cmyk.jpg": (encoded(page().convert("CMYK"), "JPEG"), None),
        "empty.jpg": (b"", "is empty (0 bytes)"),
        "good_1.png": (encoded(page()), None),
        "good_2.jpg": (jpeg, None),
        "grey16.png": (encoded(grey16), None),
        "large.png": (png_header(12_000, 12_000), "12000 x 12000 px"),
        "one.png": (encoded(page(1, 1)), None),
        "text.png": (b"hello, I am a text file\n", "not an image: 24 bytes that begin with b'hello, I am '"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    return {name: reason for name, (_, reason) in files.items()}
