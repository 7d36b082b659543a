"""Pages of a PDF as pixels, drawn by pdfium in processes of their own.

pdfium is a large C++ library that reads untrusted files, and it is not thread-safe.
"""

import re
from typing import Any

import numpy as np

from saccade.decoding import MAX_DECODE_PX
from saccade.decoding.child import Children

DPI = 200
"""Dots per inch at which a page is drawn, as offices scan. A page too large for that is drawn smaller."""


def is_pdf(data: bytes) -> bool:
    """Whether bytes are a PDF, whose signature may follow up to a kilobyte of other bytes."""
    return re.search(rb"%PDF-\d", data[:1024]) is not None


def number_of_pages(data: bytes) -> int:
    """The number of pages of a PDF.

    Raises:
        PictureError: the PDF is broken, is encrypted, or kept the child busy too long.
    """
    return int(_children.ask(data, {"do": "count"})[0]["pages"])


def size_px(data: bytes, page: int) -> tuple[int, int]:
    """(width, height) in px of a page, counted from 1, at full size. Raises as `number_of_pages`."""
    reply = _children.ask(data, {"do": "size", "page": page, **_how(1)})[0]
    return int(reply["width"]), int(reply["height"])


def rgb(data: bytes, page: int, factor: int) -> np.ndarray:
    """(H, W, 3) uint8 of a page, counted from 1, reduced by a whole factor. Raises as `number_of_pages`."""
    reply, pixels = _children.ask(data, {"do": "draw", "page": page, **_how(factor)})
    return np.frombuffer(bytearray(pixels), np.uint8).reshape(reply["height"], reply["width"], 3)


def _how(factor: int) -> dict[str, Any]:
    return {"dpi": DPI, "factor": factor, "most_px": MAX_DECODE_PX}


_children = Children("_pdf_child.py", "the PDF")
