"""Formats whose decoders can use unbounded time or memory, decoded in processes of their own.

Within the limits of bytes and pixels a TIFF of 70 MB has so many directories, and a text PPM of 25 MB so many comments,
that they are read for minutes; 200 bytes of JPEG 2000 state pixels that take minutes and gigabytes to fill. PNG and
JPEG cannot: theirs grows with bytes and pixels alone (the scans of a JPEG are counted), and they are decoded here.
"""

from typing import Any

import numpy as np

from saccade.decoding.child import Children

PLAIN = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8")
"""How PNG and JPEG begin."""


def is_plain(data: bytes) -> bool:
    """Whether a file is decoded in this process."""
    return data.startswith(PLAIN)


def number_of_pages(data: bytes) -> int:
    """Pages of a TIFF, 1 of anything else.

    Raises:
        PictureError: it kept the process busy too long.
    """
    return int(_told(data, do="count")["pages"])


def size_px(data: bytes, page: int | None) -> tuple[int, int]:
    """As `images.size_px`."""
    told = _told(data, do="size", page=page)
    return int(told["width"]), int(told["height"])


def rgb(data: bytes, page: int | None, limit_px: int | None) -> np.ndarray:
    """As `images.rgb`."""
    told, pixels = _children.ask(data, {"do": "decode", "page": page, "limit_px": limit_px})
    return np.frombuffer(bytearray(pixels), np.uint8).reshape(told["height"], told["width"], 3)


def _told(data: bytes, **request: Any) -> dict[str, Any]:
    return _children.ask(data, request)[0]


_children = Children("_image_child.py", "the image")
