"""Pages of a PDF as pixels, drawn by pdfium in a process of its own.

pdfium is a large C++ library that reads untrusted files, and it is not thread-safe. A child process draws for all
threads of this one, one page at a time, within limits of memory and time: a file that crashes it or keeps it busy
costs one picture. It starts with the first PDF and ends with this process.
"""

import atexit
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from saccade.decoding import MAX_DECODE_PX
from saccade.errors import PictureError

DPI = 200
"""Dots per inch at which a page is drawn, as offices scan. A page too large for that is drawn smaller."""

TIMEOUT_S = 60.0
"""Time limit per page in seconds."""

MEMORY_BYTES = 4 << 30
"""Address space of the child: a page of `MAX_DECODE_PX`, and the library that draws it."""

CHILD = Path(__file__).with_name("_pdf_child.py")


def is_pdf(data: bytes) -> bool:
    """Whether bytes are a PDF, whose signature may follow up to a kilobyte of other bytes."""
    return re.search(rb"%PDF-\d", data[:1024]) is not None


def number_of_pages(data: bytes) -> int:
    """The number of pages of a PDF.

    Raises:
        PictureError: the PDF is broken, is encrypted, or kept the child busy too long.
    """
    return int(_child.ask(data, {"do": "count"})[0]["pages"])


def size_px(data: bytes, page: int) -> tuple[int, int]:
    """(width, height) in px of a page, counted from 1, at full size. Raises as `number_of_pages`."""
    reply = _child.ask(data, {"do": "size", "page": page, **_how(1)})[0]
    return int(reply["width"]), int(reply["height"])


def rgb(data: bytes, page: int, factor: int) -> np.ndarray:
    """(H, W, 3) uint8 of a page, counted from 1, reduced by a whole factor. Raises as `number_of_pages`."""
    reply, pixels = _child.ask(data, {"do": "draw", "page": page, **_how(factor)})
    return np.frombuffer(bytearray(pixels), np.uint8).reshape(reply["height"], reply["width"], 3)


def _how(factor: int) -> dict[str, Any]:
    return {"dpi": DPI, "factor": factor, "most_px": MAX_DECODE_PX}


class _Child:
    """The process that draws; started on first use, and again after it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started it: a fork of it must not share the pipes

    def ask(self, data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The child's reply: a dict, and the pixels if it drew a page."""
        with self._lock:
            process = self._running()
            try:
                self._send(process, data, request)
                reply = json.loads(self._receive(process.stdout, TIMEOUT_S))
                pixels = self._receive(process.stdout, TIMEOUT_S) if reply.get("drawn") else b""
            except TimeoutError as error:
                self._end()
                raise PictureError(f"the PDF keeps its reader busy for more than {TIMEOUT_S:g} s") from error
            except (OSError, EOFError, ValueError) as error:
                self._end()
                raise PictureError(
                    "the PDF's reader ended while it read it: the file is broken, or needs more than "
                    f"{MEMORY_BYTES >> 30} GiB of memory"
                ) from error
        if "error" in reply:
            raise PictureError(str(reply["error"]))
        return reply, pixels

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._owner != os.getpid():
            self._process = None
        if self._process is None or self._process.poll() is not None:
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(CHILD), str(MEMORY_BYTES)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is this process' to handle
            )
        return self._process

    @staticmethod
    def _send(process: "subprocess.Popen[bytes]", data: bytes, request: dict[str, Any]) -> None:
        assert process.stdin is not None
        head = json.dumps(request).encode()
        for part in (head, data):
            process.stdin.write(len(part).to_bytes(8, "big") + part)
        process.stdin.flush()

    @staticmethod
    def _receive(stream: IO[bytes] | None, timeout_s: float) -> bytes:
        """One message; raises EOFError if the child has died."""
        assert stream is not None
        end = time.monotonic() + timeout_s

        def exactly(count: int) -> bytes:
            received = bytearray()
            while len(received) < count:
                ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
                if not ready:
                    raise TimeoutError
                chunk = os.read(stream.fileno(), min(count - len(received), 1 << 20))
                if not chunk:
                    raise EOFError
                received += chunk
            return bytes(received)

        return exactly(int.from_bytes(exactly(8), "big"))

    def _end(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:  # what it had not read yet is nobody's any more
                        continue
        self._process = None


_child = _Child()
atexit.register(_child._end)
