"""A folder of images, each asked the same question. Sub-folders count; hidden files and folders do not.

    scans/2024/a.jpg  ->  image id and question id "2024/a.jpg"

Files are listed by their ending alone, in alphabetical order, and opened later: a text file named .png is an error row.
Files with another ending are skipped and counted (`not_an_image`).

    saccade batch --dataset scans --question "What is the total?" --output runs/scans
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from saccade.datasets import Dataset, Row, Skip, digest
from saccade.datasets._fields import DataPath, Listed, existing, grouped, printable
from saccade.picture import Picture, suffixes
from saccade.types import Question


class Folder(Dataset):
    """One question about every image of a folder."""

    data_path: DataPath
    question: str = Field(min_length=1)

    def rows(self) -> Iterator[Row | Skip]:
        existing(self.data_path, "folder")  # now, not when the first row is asked for
        return grouped(self._listed(), f"the folder {self.data_path!r}")

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        return Picture.open(Path(self.data_path) / source, limit_px)

    def fingerprint(self) -> str:
        """Of the question and the names of the files."""
        return digest(self.question, [printable(name) for name in self._names()])

    def _names(self) -> list[str]:
        """Paths below the folder, sorted. Links to folders are not followed: they may lead in a circle."""
        names: list[str] = []
        for folder, subfolders, files in os.walk(existing(self.data_path, "folder")):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            inside = Path(folder).relative_to(self.data_path)
            names += [(inside / name).as_posix() for name in files if not name.startswith(".")]
        return sorted(names)

    def _listed(self) -> Iterator[Listed | Skip]:
        images = suffixes()
        for name in self._names():
            where = printable(name)
            if Path(name).suffix.lower() not in images:
                yield Skip("not_an_image", where)
            elif where != name:  # bytes that are no Unicode: a row could not name its file
                yield Skip("bad_file_name", where)
            else:
                yield Listed(name, name, Question(name, self.question), where)
