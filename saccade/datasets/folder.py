"""A folder of images, each asked the same question. Sub-folders count; hidden files and folders do not.

    scans/2024/a.jpg  ->  image id and question id "2024/a.jpg"
    scans/fax.tif     ->  of three pages: "fax.tif#page=1", "fax.tif#page=2", "fax.tif#page=3"

Files are listed by their ending alone, in alphabetical order, and opened later: a text file named .png is an error row.
(PDF and TIFF are opened at once, to count their pages.) Files with another ending are skipped and counted
(`not_an_image`), and so are folders that cannot be read.

    saccade batch --dataset scans --question "What is the total?" --output runs/scans
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from saccade.datasets import Dataset, Row, Skip, asking, digest
from saccade.datasets._fields import DataPath, Listed, existing, grouped, printable
from saccade.datasets._pages import Pager, split
from saccade.datasets._walk import walked
from saccade.decoding.pages import Pages
from saccade.picture import Picture, suffixes
from saccade.types import Question


class Folder(Dataset):
    """One question about every image of a folder."""

    data_path: DataPath
    question: str = Field(min_length=1)
    pages: Pages = None

    def rows(self) -> Iterator[Row | Skip]:
        existing(self.data_path, "folder")  # now, not when the first row is asked for
        return grouped(self._listed(), f"the folder {self.data_path!r}")

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        return Picture.open(self.path(source), limit_px, split(source)[1])

    def path(self, source: str) -> Path:
        return Path(self.data_path) / split(source)[0]

    def fingerprint(self) -> str:
        """A hash of the question and the names of the files."""
        names, _ = self._names()
        return digest([printable(name) for name in names], *asking(self))

    def _names(self) -> tuple[list[str], list[Skip]]:
        """Paths below the folder, sorted, and the folders that cannot be read."""
        skips: list[Skip] = []

        def left_out(folder: str, error: OSError) -> None:
            skips.append(Skip("unreadable_folder", f"{printable(folder)} ({error.strerror or error})"))

        return walked(existing(self.data_path, "folder"), (".",), left_out), skips

    def _listed(self) -> Iterator[Listed | Skip]:
        images, pager = suffixes(), Pager(self.pages)
        names, skips = self._names()
        yield from skips
        for name in names:
            where = printable(name)
            if Path(name).suffix.lower() not in images:
                yield Skip("not_an_image", where)
            elif where != name:  # bytes that are no Unicode: a row could not name its file
                yield Skip("bad_file_name", where)
            else:
                item = Listed(name, name, Question(name, self.question), where)
                yield from pager.spread(item, Path(self.data_path) / name)
