"""Images that a pattern or a URL names, each asked the same question: "scans/2024-*/*.jpg", "s3://bucket/scans".

    s3://bucket/scans/2024/a.jpg  ->  image id and question id "2024/a.jpg", below the part without * ? [

Files are listed and read through fsspec: s3:// needs the package s3fs, gs:// gcsfs, https:// aiohttp. A URL without a
pattern is a folder, of which all files count. As in `folder`, files are listed by their ending alone and opened later,
and what has another ending is skipped and counted (`not_an_image`).

    saccade batch --dataset glob --data-path "scans/2024-*/*.jpg" --question "What is the total?" --output runs/scans
"""

import os
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from saccade.datasets import Dataset, Row, Skip, asking, digest
from saccade.datasets._fields import Listed, grouped, printable
from saccade.datasets._pages import Pager, split
from saccade.decoding.pages import SUFFIXES, Pages
from saccade.errors import ConfigError, PictureError, describe
from saccade.picture import MAX_FILE_BYTES, Picture, suffixes
from saccade.types import Question

MAGIC = "*?["
"""Characters that make a name a pattern."""


def is_pattern(text: str) -> bool:
    """Whether a text is a URL or a pattern, and not the path of an existing file."""
    return "://" in text or (any(letter in text for letter in MAGIC) and not os.path.exists(text))


def _absolute(text: str) -> str:
    return text if "://" in text else os.path.abspath(os.path.expanduser(text))


class Glob(Dataset):
    """One question about every image of a pattern or below a URL."""

    data_path: Annotated[str, AfterValidator(_absolute)] = Field(description="A pattern of paths, or a URL.")
    question: str = Field(min_length=1)
    pages: Pages = None

    def rows(self) -> Iterator[Row | Skip]:
        return grouped(self._listed(*self._found), f"the pattern {self.data_path!r}")

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        name, page = split(source)
        if (path := self.path(source)) is not None:
            return Picture.open(path, limit_px, page)
        return Picture(partial(_fetched, self.data_path, name), limit_px, page)

    def path(self, source: str) -> Path | None:
        return None if "://" in self.data_path else Path(split(source)[0])

    def fingerprint(self) -> str:
        """A hash of the question and the names of the files."""
        names, below = self._found
        return digest([printable(name.removeprefix(below)) for name in names], *asking(self))

    @cached_property
    def _found(self) -> tuple[list[str], str]:
        """Names of the files in their file system, sorted, and the prefix that their ids leave out.

        Raises:
            ConfigError: the pattern names no file, or the file system cannot be reached.
        """
        files, root = _file_system(self.data_path)
        try:
            if any(letter in root for letter in MAGIC) and not files.exists(root):
                details = files.glob(root, detail=True)
                names = sorted(name for name, about in details.items() if about["type"] == "file")
            else:
                names = sorted(files.find(root))
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"cannot list {self.data_path!r}: {describe(error)}") from error
        if not names:
            raise ConfigError(f"{self.data_path!r} names no file: put a pattern in quotes, as in 'scans/*.jpg'")
        fixed = root[: min((at for at in map(root.find, MAGIC) if at >= 0), default=len(root))]
        below = fixed.rpartition("/")[0] + "/" if fixed != root or names == [root] else root.rstrip("/") + "/"
        return names, below

    def _listed(self, names: list[str], below: str) -> Iterator[Listed | Skip]:
        images, pager = suffixes(), Pager(self.pages)
        for name in names:
            image_id, ending = name.removeprefix(below), Path(name).suffix.lower()
            if ending not in images:
                yield Skip("not_an_image", printable(image_id))
            elif printable(name) != name:
                yield Skip("bad_file_name", printable(image_id))
            else:
                item = Listed(image_id, name, Question(image_id, self.question), image_id)
                yield from pager.spread(item, self._of_pages(name) if ending in SUFFIXES else None)

    def _of_pages(self, name: str) -> Path | bytes | None:
        """The file or bytes in which to count pages; None: unreadable, which later is the row's error."""
        if "://" not in self.data_path:
            return Path(name)
        try:
            return _fetched(self.data_path, name)
        except PictureError:
            return None


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of a path or URL, and the name in it."""
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"cannot open {url!r}: {error}") from error
    return files, str(root)


def _fetched(url: str, name: str) -> bytes:
    """The bytes of one file."""
    try:
        files, _ = _file_system(url)
        size = files.info(name)["size"]
        if size is not None and size > MAX_FILE_BYTES:
            raise PictureError(f"the image file {name!r} has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
        return bytes(files.cat_file(name))
    except (OSError, ValueError, RuntimeError, ConfigError) as error:
        raise PictureError(f"cannot read the image file {name!r}: {describe(error)}") from error
