"""Images of a request: from `data:` URIs or from allowed hosts, checked by their headers, laid out on one sheet.

A PDF or TIFF of several pages counts as that many images; the request may say which of them it wants.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.serving.fetch import fetch
from pipelines.serving.refusals import Refusal, short
from pipelines.serving.settings import ServeConfig
from saccade.decoding import pages as paged
from saccade.decoding.uri import from_base64, from_uri, is_base64, is_uri, says_base64
from saccade.errors import PictureError
from saccade.picture import Picture, resized
from saccade.wording import counted

GAP_PX = 16
"""White between two images of a sheet."""

SHEET_PX = 40_000_000
"""Pixels of a sheet, at most: larger images are reduced together, so that their sizes stay comparable."""

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in uv


@dataclass(frozen=True, slots=True)
class Sheet:
    """The picture of a request: its one image unchanged, or several laid out on white. `boxes`: where each lies."""

    data: bytes | np.ndarray
    boxes: tuple[Box, ...] = ((0.0, 0.0, 1.0, 1.0),)


def fetched(urls: Sequence[str], config: ServeConfig) -> list[bytes]:
    """The files of a request's images. It blocks while hosts are slow: run it in a thread.

    Raises:
        Refusal: there are too many, or one is refused or cannot be fetched.
    """
    if len(urls) > config.max_images:
        raise Refusal(
            413, f"{counted(len(urls), 'image')}; at most {config.max_images} are taken", "messages", "too_many_images"
        )
    return [_bytes_of(url, config) for url in urls]


def collect(files: Sequence[bytes], config: ServeConfig, pages: str | None = None) -> Sheet:
    """The sheet of a request's images. It blocks: run it in a thread.

    `pages` ("1,3-5"): those that the request chooses of its files; each must be there, in the longest of them. Without
    it the server's own list holds, of which every file gives what it has.

    Raises:
        Refusal: an image is refused.
        PictureError: an image cannot be read.
    """
    counts = [paged.number_of(data) for data in files]
    taken = pages or config.pages
    pictures = [
        picture for data, count in zip(files, counts, strict=True) for picture in _pages(data, count, taken, config)
    ]
    if beyond := paged.lacking(pages, max(counts)):
        has = f"the {'longest ' * (len(files) > 1)}file has {counted(max(counts), 'page')}"
        raise Refusal(400, f"{has}; {pages} asks for {beyond} as well", "saccade.pages", "no_such_page")
    if len(pictures) > config.max_images:
        raise _too_many(f"{len(pictures)} pages and images", config)
    for number, picture in enumerate(pictures):
        width_px, height_px = picture.size_px
        if width_px * height_px > config.max_image_px:
            raise Refusal(
                413,
                f"image {number + 1} is {width_px} x {height_px} px; at most {config.max_image_px:,} pixels are taken. "
                "Scale it down",
                "messages",
                "image_too_large",
            )
    if len(pictures) > 1:
        return lay_out(pictures)
    return Sheet(files[0] if pictures[0].page is None else pictures[0].rgb)


def _pages(data: bytes, num_pages: int, pages: str | None, config: ServeConfig) -> list[Picture]:
    """The chosen pages of a file; the image itself where it has no pages, or is its only one."""
    chosen = paged.chosen(pages, num_pages)
    if not chosen:
        has = f"the file has {counted(num_pages, 'page')}; chosen are {pages}"
        raise Refusal(400, has, "saccade.pages", "no_such_page")
    if len(chosen) > config.max_images:
        raise _too_many(f"the file has {num_pages} pages", config)
    return [Picture.open(data, page=page if num_pages > 1 else None) for page in chosen]


def _too_many(what: str, config: ServeConfig) -> Refusal:
    return Refusal(
        413,
        f"{what}; at most {config.max_images} are looked at together. Choose pages, as in "
        '"saccade": {"pages": "1,3-4"}',
        "messages",
        "too_many_images",
    )


def lay_out(pictures: Sequence[Picture]) -> Sheet:
    """Several pictures side by side or one below the other on white, whichever sheet is closer to a square."""
    whole_px = sum(picture.width_px * picture.height_px for picture in pictures)
    shrink = min(1.0, math.sqrt(SHEET_PX / 2 / whole_px))
    images = []
    for picture in pictures:
        width_px, height_px = (max(1, round(side * shrink)) for side in picture.size_px)
        images.append(resized(picture.rgb, width_px, height_px))
    heights, widths = [image.shape[0] for image in images], [image.shape[1] for image in images]
    gaps = GAP_PX * (len(images) - 1)
    beside, below = (sum(widths) + gaps, max(heights)), (max(widths), sum(heights) + gaps)
    across = max(beside) / min(beside) <= max(below) / min(below)
    width, height = beside if across else below
    if width * height > SHEET_PX:
        raise Refusal(413, "the images are too unlike in shape for one sheet. Send them apart", "messages")
    sheet = np.full((height, width, 3), 255, np.uint8)
    boxes, left, top = [], 0, 0
    for image in images:
        rows, cols = image.shape[:2]
        sheet[top : top + rows, left : left + cols] = image
        boxes.append((left / width, top / height, (left + cols) / width, (top + rows) / height))
        left, top = (left + cols + GAP_PX, 0) if across else (0, top + rows + GAP_PX)
    return Sheet(sheet, tuple(boxes))


def _bytes_of(url: str, config: ServeConfig) -> bytes:
    if is_uri(url) or is_base64(url):
        return decode(url)
    if url[:5].lower() in ("http:", "https"):
        return fetch(url, config.url_hosts, config.max_request_bytes, config.url_timeout_s)
    raise Refusal(400, f"an image is a data: URI or an http(s) URL; got {short(url)}", "messages", "invalid_image_url")


def decode(uri: str) -> bytes:
    """The bytes of `data:image/png;base64,...`, or of base64 alone; the stated media type is ignored.

    Raises:
        Refusal: not base64, or empty.
    """
    head, comma, _ = uri.partition(",")
    if is_uri(uri) and not (comma and says_base64(head)):
        raise Refusal(
            400, f"a data: URI must be 'data:image/...;base64,...'; got {short(uri)}", "messages", "invalid_image_url"
        )
    try:
        return from_uri(uri) if comma else from_base64(uri)
    except PictureError as error:
        raise Refusal(400, str(error), "messages", "invalid_base64") from error
