"""Lists the files below a folder, and finds the file that a list names.

Files are sorted, hidden ones are left out and links are followed. Links may form a circle, so each folder is walked
once; a folder that only a link leads to comes after all real ones, under the link's name. A folder that cannot be read
is reported. The output of a run is left out: it may lie among the data, which did not change by being answered.
"""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

from saccade.errors import ConfigError
from saccade.files import RUN

TEMPORARY = (".", "_", "~$")
"""Prefixes of files that are not data: hidden files, and temporary files of Spark, Hive or editors."""


def walked(root: Path, hidden: tuple[str, ...], unreadable: Callable[[str, OSError], None]) -> list[str]:
    """Paths of files relative to `root`, sorted, except those with a part that begins with one of `hidden`.

    `unreadable` is called with each folder that cannot be listed, and the error.
    """
    paths: list[str] = []
    visited: set[tuple[int, int]] = set()
    waiting, linked = [""], list[str]()
    while waiting or linked:
        inside = waiting.pop() if waiting else linked.pop(0)
        try:
            status = os.stat(root / inside)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(root / inside), key=lambda entry: entry.name)
        except OSError as error:
            unreadable(inside or ".", error)
            continue
        if inside and any(entry.name == RUN for entry in entries):
            continue
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if entry.name.startswith(hidden):
                continue
            if not entry.is_dir():
                paths.append(name)
            elif entry.is_symlink():
                linked.append(name)
            else:
                waiting.append(name)
    return sorted(paths)


def files_below(folder: Path, hidden: tuple[str, ...], ending: str) -> list[str]:
    """Paths as `walked` gives them, of files with one ending.

    Raises:
        ConfigError: a folder cannot be read.
    """

    def refuse(inside: str, error: OSError) -> None:
        raise ConfigError(f"cannot read the folder {str(folder / inside)!r}: {error.strerror or error}") from error

    return [name for name in walked(folder, hidden, refuse) if name.lower().endswith(ending)]


def located(folder: Path, name: str) -> Path:
    """The file that a list beside it names. If no file has exactly that name, one whose name differs by how its
    accents are written (NFC, NFD: archives of a Mac), or by Windows' separators; else the name as it is."""
    path = folder / name
    try:
        if os.path.lexists(path):
            return path
    except ValueError:  # a name that no file can have: opening it says so
        return path
    spelled = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    others = [*spelled, *(each.replace("\\", "/") for each in (name, *spelled))]
    return next((folder / other for other in others if other != name and os.path.exists(folder / other)), path)
