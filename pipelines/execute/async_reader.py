"""How a process uses the engine it holds: requests wait for it, and run together where the engine gains from that."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

from saccade.engines import Reader
from saccade.engines._constrained import after, fits
from saccade.errors import EngineDead, EngineError, SaccadeError, describe
from saccade.types import Answer, Canvas

Asked = tuple[Canvas, str, tuple[str, ...]]
"""A question about a canvas, with its choices."""

Item = TypeVar("Item")
Result = TypeVar("Result")
T = TypeVar("T")

WAIT_S = 0.003
"""How long an idle reader waits for questions about the canvas that it was just asked about. A busy one does not wait:
what came meanwhile is there."""


class Together(Generic[Item, Result]):
    """Work of one thread, for asyncio. Whenever the thread is free, the items that wait and fit are done together.

    Those fit that have the `key` of the item that has waited longest, up to `most`. `work` gives one result per item,
    an exception in place of one that failed. If it raises, each item is tried again alone, so that an item that breaks
    the work fails alone; an engine that is gone is not tried again.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[Item]], Sequence[Result | Exception]],
        key: Callable[[Item], Hashable],
        most: int,
        wait_s: float,
    ) -> None:
        self.work, self.key, self.most = work, key, most
        self.wait_s = wait_s if most > 1 else 0.0
        # One thread: a request that was given up goes on in it to its end, and the next one waits for that.
        self.thread = ThreadPoolExecutor(1, name)
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._busy: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """What `work` makes of an item. Raises what it raises."""
        coming: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, coming))
        if self._busy is None or self._busy.done():
            self._busy = asyncio.create_task(self._work_off())
        return await coming

    def run(self, work: Callable[..., T], *args: object) -> Awaitable[T]:
        """Something else, in the same thread, in its turn."""
        return asyncio.get_running_loop().run_in_executor(self.thread, _heard, work, *args)

    def close(self) -> None:
        """Waits for what is going on."""
        self.thread.shutdown()

    async def _work_off(self) -> None:
        await asyncio.sleep(self.wait_s)
        while taken := self._take():
            results = await self.run(self._results, [item for item, _ in taken])
            settle([coming for _, coming in taken], results)

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        """The item that has waited longest and those that fit it; those that were given up are dropped."""
        waiting = [pair for pair in self._waiting if not pair[1].done()]
        first = self.key(waiting[0][0]) if waiting else None
        fitting = [number for number, (item, _) in enumerate(waiting) if self.key(item) == first][: self.most]
        self._waiting = [pair for number, pair in enumerate(waiting) if number not in set(fitting)]
        return [waiting[number] for number in fitting]

    def _results(self, items: list[Item]) -> Sequence[Result | Exception]:
        try:
            return _heard(self.work, items)
        except Exception as error:
            if len(items) == 1 or is_gone(error):
                return [error] * len(items)
            return [result for item in items for result in self._results([item])]


def _heard(work: Callable[..., T], *args: object) -> T:
    """What `work` returns. A panic of Rust's code is raised as an error: it is no Exception, and nobody who waits would
    hear of it."""
    try:
        return work(*args)
    except Exception:
        raise
    except BaseException as error:
        raise EngineError(describe(error)) from error


def settle(waiting: Sequence[asyncio.Future[T]], results: Sequence[T | Exception]) -> None:
    """Sets each future to its result or exception; one that was given up meanwhile gets none."""
    for coming, result in zip(waiting, results, strict=True):
        if coming.done():
            continue
        if isinstance(result, Exception):
            coming.set_exception(result)
        else:
            coming.set_result(result)


class Turns:
    """A reader for asyncio. A concurrent one batches requests itself; any other is given, canvas by canvas, all
    requests that wait.
    """

    def __init__(self, reader: Reader, wait_s: float = WAIT_S) -> None:
        self.reader = reader
        self._reads: Together[Asked, Answer] = Together(
            "read", self._answers, key=_parts, most=reader.together, wait_s=wait_s
        )

    async def read(
        self, canvas: Canvas, question: str, choices: Sequence[str] = (), pattern: str | None = None
    ) -> Answer:
        """The answer; one of the choices, or a match of the pattern, where there are. Raises what the reader raises."""
        if self.reader.concurrent:
            wait = self.reader.achoose(canvas, question, choices) if choices else self.reader.aread(canvas, question)
            answer = await wait
        else:
            answer = await self._reads((canvas, question, tuple(choices)))
        if pattern is None or fits(answer, pattern):
            return answer
        if self.reader.concurrent:
            held = await self.reader.amatch(canvas, question, pattern)
        else:
            held = await self._reads.run(self.reader.match, canvas, question, pattern)
        return after(answer, held, pattern)

    def _answers(self, asks: list[Asked]) -> Sequence[Answer | SaccadeError]:
        if asks[0][2]:  # all of them have choices, or none
            return self.reader.choose_many(asks)
        return self.reader.read_many([(canvas, question) for canvas, question, _ in asks])

    def close(self) -> None:
        """Waits for the read that is going on."""
        self._reads.close()


def _parts(ask: Asked) -> Hashable:
    canvas, _, choices = ask
    return canvas.rows, canvas.cols, tuple(part.key for part in canvas.parts), bool(choices)


def is_gone(error: BaseException) -> bool:
    """Whether an error took the engine with it.

    After a CUDA error nothing in the process works any more; a failed allocation is over once it is reported.
    """
    lost = isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)
    return lost or isinstance(error, EngineDead)
