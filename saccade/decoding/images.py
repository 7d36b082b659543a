"""The bytes of an image file to its size and to (H, W, 3) uint8, in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from PIL import Image

from saccade.decoding import damaged, high_depth
from saccade.decoding.header import open_image
from saccade.decoding.pages import frames, is_paged, one_of
from saccade.decoding.pixels import decoded, orientation
from saccade.errors import PictureError

T = TypeVar("T")


def size_px(data: bytes, page: int | None) -> tuple[int, int]:
    """(width, height) as displayed, from the header alone.

    Raises:
        PictureError: no image, or no such page; the message says why.
    """
    return _forgiving(data, lambda whole: _size(whole, page))


def rgb(data: bytes, page: int | None, limit_px: int | None) -> np.ndarray:
    """(H, W, 3) uint8, reduced by a whole factor when `limit_px` allows it. Raises as `size_px`."""
    return _forgiving(data, lambda whole: _rgb(whole, page, limit_px))


def _forgiving(data: bytes, read: Callable[[bytes], T]) -> T:
    """What `read` makes of the file, or of the same file mended; if of none, the reason is that of the file itself."""
    try:
        return read(data)
    except PictureError as error:
        for whole in damaged.mended(data):
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
    """The image, at the page that is meant."""
    found = frames(data)
    number = one_of(page, len(found) or 1) if is_paged(data) else 1
    try:
        image = open_image(data)
    except PictureError:
        if len(found) > 1 or (made := high_depth.unusual_tiff(data)) is None:
            raise
        image = made
    with image:
        if found and found[number - 1] and image.format == "TIFF":
            try:
                image.seek(found[number - 1])
            except Exception as error:  # a parser of foreign bytes raises anything
                raise PictureError(f"cannot read page {number}: {error or type(error).__name__}") from error
        yield image
