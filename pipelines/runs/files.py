"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; takes its name when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def picture_path(path: Path) -> Path:
    """A path that a picture can be drawn to, before the work for it is done.

    Raises:
        ConfigError: it does not end in .png, or its folder is not there.
    """
    from saccade.errors import ConfigError  # here: workers that write answers need no more than the rest

    if path.suffix.lower() != ".png":
        raise ConfigError(f"a picture is drawn as .png; got {str(path)!r}")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {str(path.parent)!r} to draw {path.name} into: make it first")
    return path


def flush(path: Path) -> None:
    """Waits until a file's content is on the disk: a rename must not get there before it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
