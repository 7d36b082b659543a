"""From the bytes of a file of any supported kind to its size in px and to (H, W, 3) uint8."""

import numpy as np

from saccade.decoding import images, isolated, pdf
from saccade.decoding.pages import one_of
from saccade.decoding.pixels import factor_of


def size_px(data: bytes, page: int | None) -> tuple[int, int]:
    """(width, height) in px as displayed, from the header alone.

    Raises:
        PictureError: the bytes are not an image, or the page does not exist; the message says why.
    """
    if pdf.is_pdf(data):
        return pdf.size_px(data, one_of(page, pdf.number_of_pages(data)))
    return images.size_px(data, page) if isolated.is_plain(data) else isolated.size_px(data, page)


def rgb(data: bytes, page: int | None, limit_px: int | None) -> np.ndarray:
    """(H, W, 3) uint8, reduced by a whole factor when `limit_px` allows it. Raises as `size_px`."""
    if pdf.is_pdf(data):
        number = one_of(page, pdf.number_of_pages(data))
        return pdf.rgb(data, number, factor_of(*pdf.size_px(data, number), limit_px))
    return images.rgb(data, page, limit_px) if isolated.is_plain(data) else isolated.rgb(data, page, limit_px)
