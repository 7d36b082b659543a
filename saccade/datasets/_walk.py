"""Files below a folder, and the file that a list names, whatever they are called.

Files are sorted, hidden ones are left out and links are followed. Links may lead in a circle, so each folder is walked
once; one that only a link leads to comes after all real ones, under the link's name. A folder that cannot be read is
reported, never left out in silence.
"""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

TEMPORARY = (".", "_", "~$")
"""How the names of files begin that are no data: hidden, a writer's own (Spark, Hive), an editor's."""


def walked(root: Path, hidden: tuple[str, ...], unreadable: Callable[[str, OSError], None]) -> list[str]:
    """Paths of files relative to `root`, sorted, without those of which a part begins with one of `hidden`.

    `unreadable` is told of each folder that cannot be listed, and why.
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


def located(folder: Path, name: str) -> Path:
    """The file that a list beside it names. If there is none of that very name, one whose name differs by how its
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
