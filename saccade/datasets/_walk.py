"""Files below a folder, whatever they are called: sorted, hidden ones left out, links followed, each folder once.

A folder that a link leads to is walked after all real ones, under the link's name, unless it was walked already: links
may lead in a circle. A folder that cannot be read is said, never left out in silence.
"""

import os
from collections.abc import Callable
from pathlib import Path

TEMPORARY = (".", "_", "~", "#")
"""How the names of files begin that are no data: hidden, a writer's own (Spark, Hive), an editor's."""


def walked(root: Path, hidden: tuple[str, ...], unreadable: Callable[[str, OSError], None]) -> list[str]:
    """Paths of files relative to `root`, sorted, without those of which a part begins with one of `hidden`.

    `unreadable` is told of each folder that cannot be listed, and why.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting, linked = [""], list[str]()
    while waiting or linked:
        inside = waiting.pop() if waiting else linked.pop(0)
        try:
            status = os.stat(root / inside)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(root / inside), key=lambda entry: entry.name)
        except OSError as error:
            unreadable(inside or ".", error)
            continue
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if entry.name.startswith(hidden):
                continue
            if not entry.is_dir():
                found.append(name)
            elif entry.is_symlink():
                linked.append(name)
            else:
                waiting.append(name)
    return sorted(found)
