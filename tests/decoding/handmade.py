"""Image files made byte by byte: what writers in general use do not write, or do not write wrong. Helper of tests."""

import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    """A chunk of a PNG, with its checksum or another one."""
    whole = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", whole)


def png(width: int, height: int, bits: int, colour: int, lines: bytes, *more: bytes, after: bytes = b"") -> bytes:
    """A PNG of lines as they are stored (each behind its filter); `more` chunks stand before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return PNG + header + b"".join(more) + chunk(b"IDAT", zlib.compress(lines)) + after + chunk(b"IEND", b"")


def tiff(width: int, height: int, bits: int, pixels: bytes, *, sample_format: int = 1, zero_is: str = "black") -> bytes:
    """A TIFF of one grey channel, uncompressed."""
    photometric = 0 if zero_is == "white" else 1
    entries = [(256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8)]
    entries += [(277, 3, 1), (278, 3, height), (279, 4, len(pixels)), (339, 3, sample_format)]
    tags = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", len(entries)) + tags + bytes(4)
