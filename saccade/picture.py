"""Pixels, read lazily, decoded safely and once.

A picture is opened from bytes, a path or an array, and nothing is read until it is asked for, so that a broken file
fails where its row is answered. Decoding turns what Pillow reads (CMYK, 16-bit, palettes, transparency, EXIF
orientation, the first frame of an animation) into RGB, and never holds more pixels than it must: large images are
reduced by a whole factor while they are decoded. Only raster formats are tried: some of Pillow's others start programs.
"""

import hashlib
import io
import math
import threading
import warnings
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

from saccade.errors import ConfigError, PictureError

MAX_DECODE_PX = 120_000_000
"""Images beyond this many pixels are refused: Pillow holds 4 bytes a pixel (480 MB), twice while it converts."""

MAX_FILE_BYTES = 1 << 29
"""Image files beyond this (512 MiB) are refused: no image within `MAX_DECODE_PX` needs them."""

FORMATS = ("PNG", "JPEG", "MPO", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "JPEG2000", "PPM", "ICO")
"""Pillow's names of what is read. EPS (starts Ghostscript), WMF, FITS, fonts and films are not."""

_UPRIGHT = {  # EXIF orientation -> how to turn the pixels as they are stored into the picture as it is displayed
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

_REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")  # modes that Image.reduce averages

_warnings_lock = threading.Lock()  # warnings.catch_warnings changes the whole process

Source = bytes | str | Path | np.ndarray | Image.Image


def suffixes() -> frozenset[str]:
    """File name endings (`.png`, `.jpg`, ...) of the formats that are read."""
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in FORMATS)


class Picture:
    """An image that is decoded on first use. `limit_px` lets decoding reduce by a whole factor, never below that many.

    Pickles without its pixels: another process reads them again from where they came.

    Raises (from every attribute but `limit_px`):
        PictureError: unreadable, truncated, not an image, or beyond `MAX_DECODE_PX` or `MAX_FILE_BYTES`.
    """

    def __init__(self, read: Callable[[], bytes | np.ndarray], limit_px: int | None = None) -> None:
        if limit_px is not None and limit_px < 1:
            raise ConfigError(f"limit_px = {limit_px} must be at least 1 (or None: never reduce)")
        self._source = read
        self.limit_px = limit_px

    @classmethod
    def open(cls, source: "Source | Picture", limit_px: int | None = None) -> "Picture":
        """From encoded bytes, a path, an (H, W, 3) uint8 array (not copied: leave it as it is), or a Pillow image."""
        if isinstance(source, Picture):
            return source if limit_px in (None, source.limit_px) else cls(source._source, limit_px)
        if isinstance(source, str | Path):
            return cls(partial(_read, Path(source)), limit_px)
        if isinstance(source, Image.Image):
            source = _decode(source, None)
        if isinstance(source, np.ndarray):
            _check_array(source)
        elif not isinstance(source, bytes):
            raise PictureError(
                f"a picture is opened from encoded bytes, a path, an (H, W, 3) uint8 array or a Pillow image; "
                f"got {type(source).__name__}"
            )
        return cls(partial(_identity, source), limit_px)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._source, self.limit_px)

    @cached_property
    def data(self) -> bytes | np.ndarray:
        """The encoded bytes, or the pixels when there never were any."""
        data = self._source()
        if isinstance(data, bytes) and not data:
            raise PictureError("the image is empty (0 bytes)")
        return data

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: equal hashes are equal pictures."""
        if isinstance(self.data, bytes):
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha256(repr(self.data.shape).encode() + np.ascontiguousarray(self.data).tobytes()).hexdigest()

    @cached_property
    def size_px(self) -> tuple[int, int]:
        """(width, height) as displayed, from the header alone."""
        if not isinstance(self.data, bytes):
            return self.data.shape[1], self.data.shape[0]
        with _header(self.data) as image:
            turned = _orientation(image) >= 5  # EXIF orientations 5 to 8 swap the sides
            return (image.height, image.width) if turned else (image.width, image.height)

    @property
    def width_px(self) -> int:
        """Width as displayed, before any reduction."""
        return self.size_px[0]

    @property
    def height_px(self) -> int:
        """Height as displayed, before any reduction."""
        return self.size_px[1]

    @cached_property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, reduced by a whole factor when `limit_px` allows it."""
        if isinstance(self.data, bytes):
            with _header(self.data) as image:
                return _decode(image, self.limit_px)
        factor = _factor(self.width_px, self.height_px, self.limit_px)
        return self.data if factor == 1 else np.array(Image.fromarray(self.data).reduce(factor))


def resized(rgb: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """(H, W, 3) uint8 to another size, bicubic with anti-aliasing as Pillow and the Qwen processors do it."""
    if rgb.shape[:2] == (height_px, width_px):
        return rgb
    return np.array(Image.fromarray(rgb).resize((width_px, height_px), Resampling.BICUBIC))


def _identity(source: bytes | np.ndarray) -> bytes | np.ndarray:
    return source


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe or a device would never end
        raise PictureError(f"{str(path)!r} is not a file")
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_FILE_BYTES else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise PictureError(f"cannot read the image file {str(path)!r}: {reason}") from error
    if data is None:
        raise PictureError(f"the image file {str(path)!r} has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
    if not data:
        raise PictureError(f"the image file {str(path)!r} is empty (0 bytes)")
    return data


def _check_array(pixels: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or pixels.dtype != np.uint8:
        raise PictureError(
            f"an array must be (height, width, 3) uint8 with at least one pixel; got {pixels.shape} {pixels.dtype}"
        )


def _header(data: bytes) -> Image.Image:
    """Opens encoded bytes without decoding them."""
    Image.init()
    try:
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large or odd headers: decoding decides, and our own limit follows
            image = Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"the image is far beyond the {MAX_DECODE_PX:,} pixels that are decoded ({error}) Scale it down"
        ) from error
    except UnidentifiedImageError as error:  # its own text holds an address, different in every run
        raise PictureError(
            f"not an image: {len(data):,} bytes that begin with {data[:12]!r}; read are {', '.join(FORMATS)}"
        ) from error
    except Exception as error:  # a parser of foreign bytes raises anything: ValueError, struct.error, KeyError, ...
        raise PictureError(f"cannot read the image's header ({len(data):,} bytes): {error}") from error
    if image.width * image.height > MAX_DECODE_PX:
        raise PictureError(
            f"the image is {image.width} x {image.height} px; "
            f"at most {MAX_DECODE_PX:,} pixels are decoded. Scale it down"
        )
    return image


def _decode(image: Image.Image, limit_px: int | None) -> np.ndarray:
    """(H, W, 3) uint8 of the first frame, upright, reduced as soon as its mode allows."""
    try:
        factor = _factor(image.width, image.height, limit_px)
        if factor > 1:  # JPEG only: decodes to 1/2, 1/4 or 1/8
            image.draft("RGB", (max(1, image.width // factor), max(1, image.height // factor)))
        upright = _UPRIGHT.get(_orientation(image))
        if image.mode in _REDUCIBLE:
            image = _reduced(image, limit_px)
        if upright is not None:
            image = image.transpose(upright)
        return np.array(_reduced(_to_rgb(image), limit_px))  # a copy: Pillow's own memory is read-only
    except Exception as error:  # as in _header: what a decoder raises on broken data has no common type
        raise PictureError(f"cannot decode the image: {error or type(error).__name__}") from error


def _factor(width_px: int, height_px: int, limit_px: int | None) -> int:
    """The largest whole factor that leaves at least `limit_px` pixels."""
    return 1 if limit_px is None else max(1, math.isqrt(width_px * height_px // limit_px))


def _reduced(image: Image.Image, limit_px: int | None) -> Image.Image:
    factor = _factor(image.width, image.height, limit_px)
    return image if factor == 1 else image.reduce(factor)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; a broken EXIF block says nothing."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFF itself, size and pixels
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # the block is decoration: an image whose pixels decode is read without it
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB: 16 bits keep their upper 8, floats up to 1 are spread, transparency is laid on white."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image), posinf=255.0, neginf=0.0)
        spread = 255.0 if values.max() <= 1 else 1.0
        return Image.fromarray((values * spread).clip(0, 255).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
