"""Pixels, read lazily, decoded safely and once.

A picture is opened from bytes, a path or an array, and nothing is read until it is asked for, so that a broken file
fails where its row is answered. Decoding (`saccade.decoding`) turns what Pillow and pdfium read (CMYK, 16 bits,
palettes, transparency, EXIF orientation, the first frame of an animation, a page of a PDF or TIFF) into RGB, and never
holds more pixels than it must: large images are reduced by a whole factor while they are decoded. Only raster formats
and PDF are read: some of Pillow's other formats start programs.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from saccade.clock import stage
from saccade.decoding import FORMATS, files, pages, pixels
from saccade.decoding import MAX_DECODE_PX as MAX_DECODE_PX
from saccade.decoding import MAX_FILE_BYTES as MAX_FILE_BYTES
from saccade.errors import ConfigError, PictureError

SHOWN = 300
"""Characters of a path that a message repeats."""

Source = bytes | str | Path | np.ndarray | Image.Image


def suffixes() -> frozenset[str]:
    """File name endings (`.png`, `.jpg`, `.pdf`, ...) of the formats that are read."""
    Image.init()
    endings = (ending for ending, name in Image.registered_extensions().items() if name in FORMATS)
    return frozenset([*endings, *pages.SUFFIXES])


class Picture:
    """An image that is decoded on first use. `limit_px` lets decoding reduce it by a whole factor, to no fewer pixels.

    `page`, counted from 1, is the page of a PDF or TIFF: required where the file has several, without meaning for other
    formats. A picture is pickled without its pixels: another process reads them again from the source.

    Raises (from every attribute but `limit_px` and `page`):
        PictureError: unreadable, truncated, not an image, of several pages, or beyond `MAX_DECODE_PX` or
            `MAX_FILE_BYTES`.
    """

    def __init__(
        self, read: Callable[[], bytes | np.ndarray], limit_px: int | None = None, page: int | None = None
    ) -> None:
        if limit_px is not None and limit_px < 1:
            raise ConfigError(f"limit_px = {limit_px} must be at least 1 (or None: never reduce)")
        if page is not None and page < 1:
            raise ConfigError(
                f"page = {page} must be at least 1: pages are counted from 1 (or None: there is only one)"
            )
        self._source = read
        self.limit_px = limit_px
        self.page = page
        self._others: dict[tuple[int | None, int | None], Picture] = {}

    def _again(self, limit_px: int | None, page: int | None) -> "Picture":
        """The same image under another limit or of another page; opened once, and not read again."""
        if "rgb" in self.__dict__ and page == self.page and limit_px is not None:
            height, width = self.rgb.shape[:2]
            if height * width <= limit_px <= (self.limit_px or limit_px):  # decoded, and nothing to reduce
                return self
        other = self._others.setdefault((limit_px, page), Picture(self._source, limit_px, page))
        if "data" in self.__dict__:
            other.__dict__.setdefault("data", self.data)
        return other

    @classmethod
    def open(cls, source: "Source | Picture", limit_px: int | None = None, page: int | None = None) -> "Picture":
        """From encoded bytes, a path, an (H, W, 3) uint8 array (not copied: leave it as it is), or a Pillow image."""
        if isinstance(source, Picture):
            same = limit_px in (None, source.limit_px) and page in (None, source.page)
            return source if same else source._again(limit_px or source.limit_px, page or source.page)
        if isinstance(source, str | Path):
            return cls(partial(_read, Path(source)), limit_px, page)
        if isinstance(source, Image.Image):
            source = pixels.decoded(source, None)
        if isinstance(source, np.ndarray):
            _check_array(source)
        elif not isinstance(source, bytes):
            raise PictureError(
                f"a picture is opened from encoded bytes, a path, an (H, W, 3) uint8 array or a Pillow image; "
                f"got {type(source).__name__}"
            )
        return cls(partial(_identity, source), limit_px, page)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._source, self.limit_px, self.page)

    @cached_property
    def data(self) -> bytes | np.ndarray:
        """The encoded bytes of all pages; or the pixels, of a picture that was opened from pixels."""
        data = self._source()
        if isinstance(data, bytes) and not data:
            raise PictureError("the image is empty (0 bytes)")
        return data

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: equal hashes are equal pictures."""
        if isinstance(self.data, bytes):
            of = b"" if self.page is None else f"page {self.page} of ".encode()
            return hashlib.sha256(of + self.data).hexdigest()
        return hashlib.sha256(repr(self.data.shape).encode() + np.ascontiguousarray(self.data).tobytes()).hexdigest()

    @cached_property
    def num_pages(self) -> int:
        """Pages of the whole file."""
        return pages.number_of(self.data) if isinstance(self.data, bytes) else 1

    @cached_property
    def size_px(self) -> tuple[int, int]:
        """(width, height) as displayed, from the header alone."""
        if not isinstance(self.data, bytes):
            return self.data.shape[1], self.data.shape[0]
        return files.size_px(self.data, self.page)

    @property
    def width_px(self) -> int:
        """Width as displayed, before any reduction."""
        return self.size_px[0]

    @property
    def height_px(self) -> int:
        """Height as displayed, before any reduction."""
        return self.size_px[1]

    @cached_property
    @stage("decoding")
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, reduced by a whole factor when `limit_px` allows it."""
        if isinstance(self.data, bytes):
            return files.rgb(self.data, self.page, self.limit_px)
        factor = pixels.factor_of(self.width_px, self.height_px, self.limit_px)
        return self.data if factor == 1 else np.array(Image.fromarray(self.data).reduce(factor))


@contextmanager
def naming(file: Path | str) -> Iterator[None]:
    """What is wrong with the picture of the block is said with its file's name, where one file is all that is asked of.

    A row of a run has its image's id beside its error, so that equal errors of many images stay equal.
    """
    try:
        yield
    except PictureError as error:
        if Path(file).name in str(error):
            raise
        raise PictureError(f"{_shown(Path(file))}: {error}") from error


def resized(rgb: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """(H, W, 3) uint8 to another size, bicubic with anti-aliasing as Pillow and the Qwen processors do it."""
    if rgb.shape[:2] == (height_px, width_px):
        return rgb
    return np.array(Image.fromarray(rgb).resize((width_px, height_px), Resampling.BICUBIC))


def _identity(source: bytes | np.ndarray) -> bytes | np.ndarray:
    return source


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe or a device would never end
            raise PictureError(f"{_shown(path)} is not a file")
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_FILE_BYTES else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise PictureError(f"cannot read the image file {_shown(path)}: {reason}") from error
    if data is None:
        raise PictureError(f"the image file {_shown(path)} has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
    if not data:
        raise PictureError(f"the image file {_shown(path)} is empty (0 bytes)")
    return data


def _shown(path: Path) -> str:
    """A path as a message names it: its end says most."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return repr(text) if len(text) <= SHOWN else f"'...{text[-SHOWN:]}' (of {len(text):,} characters)"


def _check_array(pixels: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or pixels.dtype != np.uint8:
        raise PictureError(
            f"an array must be (height, width, 3) uint8 with at least one pixel; got {pixels.shape} {pixels.dtype}"
        )
