"""How a process uses the engine it holds: many reads at a time or one after another, and when the engine is gone."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from saccade.engines import Reader
from saccade.errors import EngineDead
from saccade.types import Answer, Canvas


class Turns:
    """A reader as asyncio uses it. A concurrent one batches requests itself, another one takes them in turn."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        # One thread: a request that was given up goes on in it to its end, and the next one waits for that.
        self._thread = ThreadPoolExecutor(1, "read")

    async def read(self, canvas: Canvas, question: str, choices: Sequence[str] = ()) -> Answer:
        """The answer; one of the choices where there are some. Raises what the reader raises."""
        loop, reader = asyncio.get_running_loop(), self.reader
        if choices:
            if reader.concurrent:
                return await reader.achoose(canvas, question, choices)
            return await loop.run_in_executor(self._thread, reader.choose, canvas, question, choices)
        if reader.concurrent:
            return await reader.aread(canvas, question)
        return await loop.run_in_executor(self._thread, reader.read, canvas, question)

    def close(self) -> None:
        """Waits for the read that is going on."""
        self._thread.shutdown()


def is_gone(error: BaseException) -> bool:
    """Whether an error took the engine with it.

    After a CUDA error nothing in the process works any more; a failed allocation is over once it is reported.
    """
    lost = isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)
    return lost or isinstance(error, EngineDead)
