"""Converts Pillow's image of any mode to (H, W, 3) uint8, upright, reduced as early as its mode allows."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from saccade.decoding import high_depth
from saccade.decoding.alpha import laid
from saccade.decoding.damaged import ends_early, is_altered
from saccade.decoding.header import quietly
from saccade.decoding.levels import to_8_bits
from saccade.errors import PictureError

UPRIGHT = {  # EXIF orientation -> how to turn the pixels as they are stored into the picture as it is displayed
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")  # modes that Image.reduce averages

BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF


def decoded(image: Image.Image, limit_px: int | None, data: bytes | None = None) -> np.ndarray:
    """(H, W, 3) uint8 of the current frame of `image`; `data`: the file's bytes, if there is a file.

    Raises:
        PictureError: the data are damaged or end too early.
    """
    try:
        factor = factor_of(image.width, image.height, limit_px)
        if factor > 1:  # JPEG only: decodes to 1/2, 1/4 or 1/8
            image.draft("RGB", (max(1, image.width // factor), max(1, image.height // factor)))
        with quietly() if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0) else nullcontext():
            image.load()  # Pillow warns of what is large; our own limit is beyond
        turn = orientation(image)  # not before: of a PNG it loads the pixels, and would swallow what is wrong with them
        if data is not None and is_altered(data):
            raise PictureError("cannot decode the image: its pixels are damaged (their checksum is wrong)")
        if data is not None and ends_early(image, data):
            raise PictureError("cannot decode the image: image file is truncated (its last lines are missing)")
        tags, frame = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}, image.tell()
        if image.mode == "F" or image.mode.startswith("I"):
            image = _grey(image, tags)
        elif data is not None and high_depth.is_dark(image, data):
            image = high_depth.colours(image, data, frame)
        if image.mode in REDUCIBLE:
            image = reduced(image, limit_px)
        if turn in UPRIGHT:
            image = image.transpose(UPRIGHT[turn])
        return np.array(reduced(_to_rgb(image), limit_px))  # a copy: Pillow's own memory is read-only
    except PictureError:
        raise
    except Exception as error:  # as in `header.open_image`: what a decoder raises on broken data has no common type
        raise PictureError(f"cannot decode the image: {error or type(error).__name__}") from error


def factor_of(width_px: int, height_px: int, limit_px: int | None) -> int:
    """The largest whole factor that leaves at least `limit_px` pixels."""
    return 1 if limit_px is None else max(1, math.isqrt(width_px * height_px // limit_px))


def reduced(image: Image.Image, limit_px: int | None) -> Image.Image:
    """The image, reduced by the largest whole factor that leaves at least `limit_px` pixels."""
    factor = factor_of(image.width, image.height, limit_px)
    return image if factor == 1 else image.reduce(factor)


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; 1 if the EXIF block is broken, or states another number."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFF itself, size and pixels
    try:
        with quietly():
            turn = int(image.getexif().get(0x0112, 1))
            return turn if turn in UPRIGHT else 1
    except Exception:  # the block is decoration: an image whose pixels decode is read without it
        return 1


def _grey(image: Image.Image, tags: Any) -> Image.Image:
    """Integers and floats as 8 bits. It handles what Pillow overlooks in a TIFF: white as 0, and unsigned 32 bits."""
    values = np.asarray(image)
    if image.mode == "I" and tags.get(BITS) == (32,) and tags.get(SAMPLE_FORMAT, (1,)) == (1,):
        values = values.view(np.uint32)
    grey = to_8_bits(values)
    return Image.fromarray(255 - grey if tags.get(PHOTOMETRIC) == 0 else grey)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode of 8 bits to RGB; transparent images are laid on white, or on a background that shows them."""
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return laid(image.convert("RGBA"))
    return image.convert("RGB")
