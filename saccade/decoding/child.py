"""Processes that read foreign files for this one, under a limit of memory and of time.

Decoders are large programs in C that read what strangers made. What crashes one, fills its memory or keeps it busy for
ever costs one picture. They start when they are first needed and end with this process.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from saccade.errors import PictureError

TIMEOUT_S = 60.0
"""Seconds that one page or image may take."""

MEMORY_BYTES = 4 << 30
"""Address space of a process: a page of `MAX_DECODE_PX` with room for what draws it."""

MOST = max(1, min(4, os.cpu_count() or 1))
"""Processes of a kind at once; a reader of another thread waits."""


class Children:
    """Processes that run one program of this folder, one request at a time each. `what` they read: "the PDF"."""

    def __init__(self, program: str, what: str) -> None:
        self.program, self.what = Path(__file__).with_name(program), what
        self.idle: list[Child] = []
        self._room = threading.BoundedSemaphore(MOST)
        atexit.register(self.close)

    def ask(self, data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """What a process answers about a file: its words, and pixels where it was asked for some.

        Raises:
            PictureError: the file cannot be read, or took a process too long or too much memory.
        """
        with self._room:
            child = self.idle.pop() if self.idle else Child(self.program, self.what)
            try:
                return child.ask(data, request)
            finally:
                self.idle.append(child)

    def close(self) -> None:
        """Ends those that do nothing."""
        while self.idle:
            self.idle.pop().end()


class Child:
    """One process, started when it is first needed, and again after it died. For one thread at a time."""

    def __init__(self, program: Path, what: str, memory_bytes: int = MEMORY_BYTES) -> None:
        self.program, self.what, self.memory_bytes = program, what, memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started it: a fork of it must not share the pipes

    def ask(self, data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """As `Children.ask`."""
        process = self._running()
        try:
            self._send(process, data, request)
            told = json.loads(self._receive(process.stdout, TIMEOUT_S))
            pixels = self._receive(process.stdout, TIMEOUT_S) if told.get("drawn") else b""
        except TimeoutError as error:
            self.end()
            raise PictureError(f"{self.what} keeps its reader busy for more than {TIMEOUT_S:g} s") from error
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise PictureError(
                f"{self.what}'s reader ended while it read it: the file is broken, or needs more than "
                f"{self.memory_bytes >> 30} GiB of memory"
            ) from error
        except BaseException:  # interrupted in the middle: the next answer would be this one's
            self.end()
            raise
        if "error" in told:
            raise PictureError(str(told["error"]))
        return told, pixels

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._owner != os.getpid():
            self._process = None
        if self._process is None or self._process.poll() is not None:
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(self.program), str(self.memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread takes address space
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
        """One message; EOFError when the child is gone."""
        assert stream is not None
        end = time.monotonic() + timeout_s
        poller = select.poll()  # select() takes no file beyond the 1,024th
        poller.register(stream, select.POLLIN)

        def exactly(count: int) -> bytes:
            found = bytearray()
            while len(found) < count:
                if not poller.poll(1000 * max(0.0, end - time.monotonic())):
                    raise TimeoutError
                chunk = os.read(stream.fileno(), min(count - len(found), 1 << 20))
                if not chunk:
                    raise EOFError
                found += chunk
            return bytes(found)

        return exactly(int.from_bytes(exactly(8), "big"))

    def end(self) -> None:
        """Kills it."""
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
