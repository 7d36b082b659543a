"""Turns a question about a file of several pages into one question per selected page.

    {"id": "q", "image": "scan.pdf", ...}  ->  ids q#page=1, q#page=2, ...; images scan.pdf#page=1, scan.pdf#page=2, ...

A line may name its `page`, and then keeps its id. Pages are counted when data are listed, by opening files whose
ending is that of a PDF or TIFF; one that cannot be opened is listed as it is, and is an error row later.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from saccade.datasets import NO_SUCH_PAGE, Skip
from saccade.datasets._fields import Listed, wrong
from saccade.decoding.pages import SUFFIXES, chosen, is_paged, lacking, number_of, ranges
from saccade.errors import DataError, PictureError, describe
from saccade.picture import Picture
from saccade.wording import counted

MARK = "//page="  # after a path that is normal, and so holds no "//"


class Pager:
    """Spreads questions over pages; counts each file once."""

    def __init__(self, pages: str | None) -> None:
        self.pages, self._counts = pages, dict[Path, int]()

    def spread(self, item: Listed, image: Path | bytes | None, page: Any = None) -> Iterator[Listed | Skip]:
        """The question once for each of its pages. `image` is the image's file or its bytes, None where these are not
        read yet; `page` is the page that the data name."""
        if item.question.error is not None:
            yield item
            return
        try:
            num_pages = None if image is None else self._number(image)
            named = _page(page) if num_pages is None or _has_pages(image) else None
        except PictureError:  # when it is opened this is the row's error
            yield item
            return
        except DataError as error:
            yield replace(item, question=replace(item.question, error=describe(error)))
            return
        if num_pages is None and named is None:  # not to be opened yet; if it has several pages that is the row's error
            yield item
            return
        if named is None:
            numbers = chosen(self.pages, num_pages or 1)
        else:  # without a list up to it: the data may name page 10**9
            wanted = ranges(self.pages)
            numbers = [named] * (wanted is None or any(first <= named <= last for first, last in wanted))
        has_pages = named is None and _has_pages(image)  # an image without pages is not the lesser for having one
        if not numbers or (has_pages and lacking(self.pages, num_pages or 1)):
            has = f"it is page {named}" if num_pages is None else f"the file has {counted(num_pages, 'page')}"
            yield Skip(NO_SUCH_PAGE, f"{item.where} ({has}; chosen are {self.pages})")
        for number in numbers:
            alone = num_pages == 1 and number == 1
            yield item if alone else _at(item, number, own_id=named is None)

    def _number(self, image: Path | bytes) -> int:
        if isinstance(image, bytes):
            return number_of(image)
        if image.suffix.lower() not in SUFFIXES:
            return 1
        if image not in self._counts:
            self._counts[image] = Picture.open(image).num_pages
        return self._counts[image]


def _has_pages(image: Path | bytes | None) -> bool:
    """Whether an image is of a format with pages; for others `page` only tells where the image comes from."""
    return image is None or (is_paged(image) if isinstance(image, bytes) else image.suffix.lower() in SUFFIXES)


def _at(item: Listed, page: int, own_id: bool) -> Listed:
    question = replace(item.question, metadata={**item.question.metadata, "page": page})
    if own_id:
        question = replace(question, id=f"{question.id}#page={page}")
    return Listed(f"{item.image_id}#page={page}", f"{item.source}{MARK}{page}", question, item.where)


def _page(value: Any) -> int | None:
    """The page number in the data, counted from 1."""
    if value is None or value != value:
        return None
    whole = isinstance(value, int | float) and value % 1 == 0  # infinity is not, nor is True a page
    if isinstance(value, bool) or not whole or value < 1:
        raise wrong("page", value, "a whole number from 1")
    return int(value)


def split(source: str) -> tuple[str, int | None]:
    """Splits a row's source into the source without the page, and the page."""
    path, mark, page = source.rpartition(MARK)
    return (path, int(page)) if mark and page.isdigit() else (source, None)
