"""Colours of more than 8 bits, and TIFFs that Pillow does not know, by OpenCV.

Pillow keeps the upper 8 of 16 bits: a page that uses only 12 of them comes out black. So a dark picture of a format
that can be deep is decoded again in full depth. Floats in three channels, as some scanners write, Pillow cannot read.
"""

import io

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from saccade.decoding.header import check_size, quietly
from saccade.decoding.levels import to_8_bits
from saccade.errors import PictureError

FORMATS = ("PNG", "TIFF", "JPEG2000")
DARK = 128  # 16-bit colours whose upper 8 stay below this may use fewer bits
PNG_BITS = 24  # place in the file
WIDTH, HEIGHT, BITS = 256, 257, 258  # tags of TIFF
TIFF = (b"II*\0", b"MM\0*")


def is_dark(image: Image.Image, data: bytes) -> bool:
    """Whether an image looks black because it has, or may have, more than 8 bits and Pillow cut them. Decodes it."""
    if image.format not in FORMATS or image.mode not in ("RGB", "RGBA", "LA") or not _is_deep(image, data):
        return False
    return all(low_high[1] < DARK for low_high in _extrema(image))


def _is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether its colours may have more than 8 bits."""
    if image.format == "PNG":
        return data[PNG_BITS] > 8
    bits = getattr(image, "tag_v2", {}).get(BITS, (16,))
    return int(max(bits)) > 8


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    """(darkest, brightest) value of each colour channel."""
    ranges = image.getextrema()
    return [(int(low), int(high)) for low, high in ranges[: 1 if image.mode == "LA" else 3]]  # type: ignore[misc]


def colours(image: Image.Image, data: bytes, page: int) -> Image.Image:
    """A dark image decoded at full depth and scaled to 8 bits; the image itself if it has no more than 8."""
    values = _read(data, page)
    if values is None or values.dtype == np.uint8 or values.shape[:2] != (image.height, image.width):
        return image
    return _image(values)


def size_of_tiff(data: bytes) -> tuple[int, int] | None:
    """(width, height) in px of the first page of a TIFF of any pixel type; None: the bytes are not a TIFF."""
    if data[:4] not in TIFF:
        return None
    try:
        file = io.BytesIO(data)
        directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(directory.next)
        with quietly():
            directory.load(file)
        return int(directory[WIDTH]), int(directory[HEIGHT])
    except Exception:  # broken: the reason is Pillow's to give
        return None


def unusual_tiff(data: bytes) -> Image.Image | None:
    """A TIFF that Pillow cannot read, decoded by OpenCV; None if OpenCV cannot read it either.

    Raises:
        PictureError: the image is beyond the limits.
    """
    size = size_of_tiff(data)
    if size is None:
        return None
    check_size(*size)
    values = _read(data, 0)
    return None if values is None else _image(values)


def _read(data: bytes, page: int) -> np.ndarray | None:
    """(H, W) or (H, W, C) of any type, channels in OpenCV's order."""
    shown = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        if page:
            encoded = np.frombuffer(data, np.uint8)
            decoded, images = cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED, range=(page, page + 1))
            return images[0] if decoded and len(images) else None
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(shown)


def _image(values: np.ndarray) -> Image.Image:
    """OpenCV's values as 8 bits: one scale for all colours, another one for transparency."""
    if values.ndim == 2 or values.shape[2] == 1:
        return Image.fromarray(to_8_bits(values.reshape(values.shape[:2])))
    if values.shape[2] not in (3, 4):
        raise PictureError(f"the image has {values.shape[2]} channels; 1, 3 and 4 are read")
    rgb = to_8_bits(values[..., 2::-1])
    if values.shape[2] == 3:
        return Image.fromarray(np.ascontiguousarray(rgb))
    alpha = values[..., 3] >> 8 if values.dtype == np.uint16 else to_8_bits(values[..., 3])
    return Image.fromarray(np.dstack([rgb, alpha.astype(np.uint8)]))
