"""Files of several pages (TIFF, PDF), and the selection of pages: "1,3-5", counted from 1.

Frames of an animation, the sizes of an icon and the reduced copies or masks in a TIFF are not pages: the picture is the
first frame, the largest size, the full image. A file of several pages is never silently read as its first one.
"""

import io
import re
from typing import Annotated

from PIL import TiffImagePlugin
from pydantic import AfterValidator

from saccade.decoding import high_depth, isolated, pdf
from saccade.decoding.header import quietly
from saccade.errors import ConfigError, PictureError
from saccade.wording import counted

MAX_PAGES = 10_000
"""Pages of one file, at most."""

SUFFIXES = (".pdf", ".tif", ".tiff")
"""File name endings of formats that hold pages."""

TIFF = (*high_depth.TIFF, b"II+\0", b"MM\0+")  # and BigTIFF
SUBFILE = 254  # tag of TIFF: bit 0 = a reduced copy, bit 2 = a transparency mask of another image


def number_of(data: bytes) -> int:
    """The number of pages of a file; 1 for every image that is not a TIFF.

    Raises:
        PictureError: the file is a PDF that cannot be read, or a TIFF that takes too long.
    """
    if pdf.is_pdf(data):
        return pdf.number_of_pages(data)
    return isolated.number_of_pages(data) if data[:4] in TIFF else 1


def is_paged(data: bytes) -> bool:
    """Whether bytes are of a format that has pages."""
    return pdf.is_pdf(data) or data[:4] in TIFF


def frames(data: bytes) -> list[int]:
    """The indices of the frames of a TIFF that are pages; empty: the bytes are not a TIFF, or a broken one."""
    if data[:4] not in TIFF:
        return []
    numbers: list[int] = []
    try:
        file, offsets = io.BytesIO(data), set[int]()
        directory = TiffImagePlugin.ImageFileDirectory_v2(
            file.read(16 if data[2:3] in b"+" or data[3:4] == b"+" else 8)
        )
        at, number = directory.next, 0
        while at and at not in offsets and len(offsets) < MAX_PAGES:
            offsets.add(at)
            file.seek(at)
            with quietly():
                directory.load(file)
            if high_depth.WIDTH not in directory:  # the file ends, or something else stands there
                break
            if not int(directory.get(SUBFILE, 0)) & 0b101:
                numbers.append(number)
            at, number = directory.next, number + 1
    except Exception:  # broken after these pages, or before the first: decoding says what is wrong
        return numbers
    return numbers


def one_of(number: int | None, num_pages: int) -> int:
    """The selected page of a file of `num_pages` pages, counted from 1.

    Raises:
        PictureError: the page does not exist, or none was selected and there are several.
    """
    if number is None:
        if num_pages > 1:
            raise PictureError(
                f"the file has {num_pages} pages, and a picture is one of them: choose one (--pages 1 to --pages "
                f"{num_pages}, in Python saccade.Picture.open(path, page=1))"
            )
        return 1
    if not 1 <= number <= num_pages:
        raise PictureError(f"there is no page {number}: the file has {counted(num_pages, 'page')}")
    return number


def chosen(pages: str | None, num_pages: int) -> list[int]:
    """The pages in "1,3-5" that a file of `num_pages` pages has, in order; None: all pages.

    Raises:
        ConfigError: the text is not a list of pages.
    """
    intervals = ranges(pages)
    if intervals is None:
        return list(range(1, num_pages + 1))
    return [page for page in range(1, num_pages + 1) if any(first <= page <= last for first, last in intervals)]


def lacking(pages: str | None, num_pages: int) -> str:
    """The pages in "1,3-5" that a file of 3 pages does not have, as "pages 4-5"; "": it has them all.

    A range without an end asks for its first page alone: the others are those that there are.

    Raises:
        ConfigError: the text is not a list of pages.
    """
    missing = []
    for first, last in ranges(pages) or ():
        first, last = max(first, num_pages + 1), first if last == MAX_PAGES else last
        if first <= last:
            missing.append(str(first) if first == last else f"{first}-{last}")
    one = len(missing) == 1 and missing[0].isdecimal()
    return f"page{'' if one else 's'} {','.join(missing)}" if missing else ""


def one_page(pages: str | None) -> int | None:
    """The page in "3"; None: no page is selected.

    Raises:
        ConfigError: the text is not a page, or it is several.
    """
    intervals = ranges(pages)
    if intervals is None:
        return None
    if len(intervals) > 1 or intervals[0][0] != intervals[0][1]:
        raise ConfigError(f"pages = {pages!r}: one page is looked at here; write one number")
    return intervals[0][0]


def ranges(pages: str | None) -> list[tuple[int, int]] | None:
    """(first, last) of each range in "1,3-5,8-"; None: all pages.

    Raises:
        ConfigError: the text is not a list of pages.
    """
    if pages is None:
        return None
    intervals = []
    for part in pages.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,6})\s*(?:(-)\s*([0-9]{1,6})?\s*)?", part)
        first = int(match[1]) if match else 0
        last = (int(match[3]) if match[3] else MAX_PAGES) if match and match[2] else first
        if not 1 <= first <= last:
            raise ConfigError(f"pages = {pages!r}: {part.strip()!r} is no page or range of pages; write 1,3-5 or 7-")
        intervals.append((first, last))
    return intervals


def _checked(pages: str | None) -> str | None:
    ranges(pages)
    return pages


Pages = Annotated[str | None, AfterValidator(_checked)]
"""A setting: pages of files that have several, "1,3-5"; None: all."""
