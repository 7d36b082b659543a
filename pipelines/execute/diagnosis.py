"""Why Ray does not start on a machine, or why a disk cannot be written to: the cause in one line.

Ray says that it timed out; the cause is a full /dev/shm, a full disk, or a TMPDIR too long for its sockets.
"""

import errno
import os
import shutil
from pathlib import Path

MOST_SOCKET_BYTES = 107
"""Length of a Unix socket's path, at most (`man 7 unix`)."""

SESSION = "/ray/session_2026-01-01_00-00-00_000000_{pid}/sockets/plasma_store"
"""What Ray adds to its temporary folder to name its longest socket."""

LEAST_SHM_BYTES = 128 << 20
"""Shared memory that Ray's object store takes, at least (75 MiB), with some room."""

LEAST_DISK_BYTES = 256 << 20
"""Room that Ray's logs and spilled objects take, at least."""

ADVICE = {  # for errors of the operating system, wherever they are raised
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "your quota of the disk is used up: make room",
    errno.EROFS: "it is on a read-only disk",
    errno.EACCES: "you may not",
    errno.EPERM: "you may not",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the disk fails",
    errno.EMFILE: "too many files are open: raise `ulimit -n`",
}


def temporary() -> tuple[str, Path]:
    """The variable that says where Ray keeps its sockets and logs, and that folder: RAY_TMPDIR, then TMPDIR."""
    for name in ("RAY_TMPDIR", "TMPDIR"):
        if os.environ.get(name):
            return name, Path(os.environ[name])
    return "TMPDIR", Path("/tmp")


def before_ray() -> str | None:
    """Why Ray cannot start on this machine; None: nothing speaks against it."""
    name, folder = temporary()
    spare = MOST_SOCKET_BYTES - len(SESSION.format(pid=os.getpid()))
    if len(os.fsencode(folder.absolute())) > spare:
        return (
            f"{name} is too long for Ray's sockets ({len(os.fsencode(folder.absolute()))} bytes, at most {spare}): "
            "set RAY_TMPDIR=/tmp"
        )
    if not os.access(folder, os.W_OK):
        return f"Ray cannot write to {str(folder)!r}, where {name} says that it keeps its files: set RAY_TMPDIR=/tmp"
    if (room := free_bytes(folder)) < LEAST_DISK_BYTES:
        return (
            f"the disk of {str(folder)!r} is full ({room >> 20} MiB are free), where Ray keeps its files: make room, "
            "or set RAY_TMPDIR to a folder on another disk"
        )
    if (room := free_bytes(Path("/dev/shm"))) < LEAST_SHM_BYTES:
        return (
            f"/dev/shm is full ({room >> 20} MiB are free, Ray needs {LEAST_SHM_BYTES >> 20}): remove what fills it, "
            "or make it larger (docker run --shm-size=2g)"
        )
    return None


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk that a folder is on; a huge number if there is no such folder."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 1 << 62


def is_full(error: BaseException) -> bool:
    """Whether nothing more can be written: it costs the run, not one row, for the next row fails as well."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def cause(error: BaseException) -> str | None:
    """One line about an error of the operating system that is not the code's fault; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in ADVICE:
        return None
    name = error.filename2 or error.filename
    what = f"cannot write or read {os.fsdecode(name)!r}" if name else "cannot write or read a file"
    return f"{what}: {error.strerror or error} ({ADVICE[error.errno]})"
