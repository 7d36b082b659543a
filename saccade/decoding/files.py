"""From the bytes of a file of any supported kind to its size in px and to (H, W, 3) uint8."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from PIL import Image

from saccade.decoding import deep, forgiving, pdf
from saccade.decoding.header import open_image
from saccade.decoding.pages import frames, is_paged, one_of
from saccade.decoding.pixels import decoded, factor_of, orientation
from saccade.errors import PictureError

T = TypeVar("T")


def size_px(data: bytes, page: int | None) -> tuple[int, int]:
    """(width, height) in px as displayed, from the header alone.

    Raises:
        PictureError: the bytes are not an image, or the page does not exist; the message says why.
    """
    if pdf.is_pdf(data):
        return pdf.size_px(data, one_of(page, pdf.number_of_pages(data)))
    return _forgiving(data, lambda whole: _size(whole, page))


def rgb(data: bytes, page: int | None, limit_px: int | None) -> np.ndarray:
    """(H, W, 3) uint8, reduced by a whole factor when `limit_px` allows it. Raises as `size_px`."""
    if pdf.is_pdf(data):
        number = one_of(page, pdf.number_of_pages(data))
        return pdf.rgb(data, number, factor_of(*pdf.size_px(data, number), limit_px))
    return _forgiving(data, lambda whole: _rgb(whole, page, limit_px))


def _forgiving(data: bytes, read: Callable[[bytes], T]) -> T:
    """The result of `read` on the file, or on a repaired copy; if all fail, the error of the file itself is raised."""
    try:
        return read(data)
    except PictureError as error:
        for whole in forgiving.mended(data):
            try:
                return read(whole)
            except PictureError:
                continue  # the first error is the true one
        raise error


def _size(data: bytes, page: int | None) -> tuple[int, int]:
    with _page(data, page) as image:
        turned = orientation(image) >= 5  # EXIF orientations 5 to 8 swap the sides
        return (image.height, image.width) if turned else (image.width, image.height)


def _rgb(data: bytes, page: int | None, limit_px: int | None) -> np.ndarray:
    with _page(data, page) as image:
        return decoded(image, limit_px, data)


@contextmanager
def _page(data: bytes, page: int | None) -> Iterator[Image.Image]:
    """The image, positioned at the selected page."""
    page_frames = frames(data)
    number = one_of(page, len(page_frames) or 1) if is_paged(data) else 1
    try:
        image = open_image(data)
    except PictureError:
        if len(page_frames) > 1 or (unusual := deep.unusual_tiff(data)) is None:
            raise
        image = unusual
    with image:
        if page_frames and page_frames[number - 1] and image.format == "TIFF":
            try:
                image.seek(page_frames[number - 1])
            except Exception as error:  # a parser of foreign bytes raises anything
                raise PictureError(f"cannot read page {number}: {error or type(error).__name__}") from error
        yield image
