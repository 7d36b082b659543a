"""The readers: a pool of named actors, each with an engine, which all lookers share."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray

from pipelines.execute.actor import EngineActor
from pipelines.execute.async_reader import Turns, settle
from pipelines.execute.plan import Plan, survived
from pipelines.execute.retry import reached
from pipelines.execute.serialization import freeze, thaw
from saccade.episode import Ask
from saccade.errors import EngineError, SaccadeError, describe
from saccade.types import Answer, Canvas, Part

OPEN_S = 1800.0
"""How long a restarted reader may take to open its engine."""

KILL_S = 2.0
"""How long Ray takes to end an actor: before that, the old one would still answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a canvas whose parts travel beside it, so that several questions can share them."""

    question: str
    rows: int
    cols: int
    parts: tuple[int, ...]  # their places among those of the request
    choices: tuple[str, ...] = ()  # the answer is one of these; (): any text
    pattern: str | None = None  # the answer matches it


class ReaderActor(EngineActor):
    """Answers; a request holds the whole canvas, so a restarted reader needs no history.

    Requests run together on an engine that batches them (`aread`), on another one in turn.
    """

    def open(self) -> None:
        """The engine that reads."""
        self.turns = Turns(self.stack.enter_context(self.plan.engine.open_reader()), wait_s=0.0)
        self.stack.callback(self.turns.close)

    async def concurrent(self) -> bool:
        """Whether the engine batches requests itself."""
        return self.failed is None and self.turns.reader.concurrent

    async def read(self, asks: Sequence[Asked], *parts: Part) -> list[Answer | SaccadeError]:
        """Answers in the order of the asks, or the error that costs one in its place. Parts and answers are packed."""
        thawed = thaw(parts)
        return await asyncio.gather(*(self._read(ask, thawed) for ask in asks))

    async def _read(self, ask: Asked, parts: Sequence[Part]) -> Answer | SaccadeError:
        if self.failed is not None:
            return EngineError(describe(self.failed))
        try:
            canvas = Canvas(ask.rows, ask.cols, tuple(parts[number] for number in ask.parts))
            return freeze(await self.turns.read(canvas, ask.question, ask.choices, ask.pattern))
        except SaccadeError as error:
            survived(error, self.plan)
            return error
        except Exception as error:
            return EngineError(describe(survived(error, self.plan)))


class Readers:
    """The pool as one looker uses it. An image stays with one reader, whose caches know its canvases."""

    def __init__(self, plan: Plan) -> None:
        self.actors = [ray.get_actor(plan.reader(number), plan.namespace) for number in range(plan.num_readers)]
        self.slots = [asyncio.Semaphore(plan.episodes_per_looker) for _ in self.actors]
        self.open = [0] * len(self.actors)
        self.concurrent = all(ray.get([actor.concurrent.remote() for actor in self.actors]))
        self.answered_at = [0.0] * len(self.actors)  # when each reader last answered, or was started again
        self.restarts: dict[int, asyncio.Future[None]] = {}
        self.read_s, self.repeat = plan.read_s, plan.max_restarts > 0

    def least_busy(self) -> int:
        """The reader with the fewest episodes waiting or open."""
        return min(range(len(self.open)), key=self.open.__getitem__)

    async def read(self, number: int, asks: Sequence["Asked"], parts: Sequence[Any]) -> list[Answer | SaccadeError]:
        """What a reader answers, packed; or the error that costs an ask, in its place.

        Raises:
            EngineDead: the reader died or hung, also when the request was repeated.
        """
        actor = self.actors[number]
        return await reached(  # type: ignore[no-any-return]
            f"reader {number}", lambda: self._answer(number, actor.read.remote(asks, *parts)), repeat=self.repeat
        )

    async def _answer(self, number: int, request: Any) -> Any:
        """The reader's answer. A reader that is silent for `read_s` hangs: it is ended, and Ray, which restarts it,
        repeats its requests as it does those of a reader that died."""
        waiting, asked = asyncio.ensure_future(_value(request)), time.monotonic()
        while True:
            silent_s = time.monotonic() - max(asked, self.answered_at[number])
            done, _ = await asyncio.wait({waiting}, timeout=max(0.01, self.read_s - silent_s))
            if done:
                self.answered_at[number] = time.monotonic()
                return waiting.result()
            if time.monotonic() - max(asked, self.answered_at[number]) >= self.read_s:
                self.answered_at[number] = time.monotonic() + OPEN_S  # here: other requests to it must not end it again
                self.restarts[number] = asyncio.ensure_future(self._restart(number))

    async def _restart(self, number: int) -> None:
        """Ends a reader; its silence counts again once it has opened its engine anew."""
        ray.kill(self.actors[number], no_restart=False)
        await asyncio.sleep(KILL_S)
        with suppress(ray.exceptions.RayError, SaccadeError):  # the requests themselves tell what went wrong
            await self.actors[number].ready.remote()
        self.answered_at[number] = time.monotonic()


async def _value(request: Any) -> Any:
    return await request


class Canvases:
    """What one reader is asked about one image.

    A part of a canvas is sent once, into Ray's memory, where the reader finds it for every question. Reads that the
    image's episodes ask for at the same time are one request, unless the reader batches requests itself.
    """

    def __init__(self, readers: Readers, number: int) -> None:
        self.readers, self.number, self.slot = readers, number, readers.slots[number]
        self._sent: dict[str, Any] = {}  # key of a part -> where it lies
        self._asked: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._sending: set[asyncio.Task[None]] = set()  # the event loop alone would not keep them

    async def read(self, ask: Ask) -> Answer:
        """One read.

        Raises:
            SaccadeError: the question failed.
            EngineDead: the reader died or hung, also when the request was repeated.
        """
        loop = asyncio.get_running_loop()
        coming: asyncio.Future[Answer] = loop.create_future()
        self._asked.append((ask, coming))
        if len(self._asked) == 1:
            loop.call_soon(self._send_all)  # after the episodes that go on in this turn of the loop
        return await coming

    def _send_all(self) -> None:
        asked, self._asked = self._asked, []
        for some in [[each] for each in asked] if self.readers.concurrent else [asked]:
            task = asyncio.ensure_future(self._send(some))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, asked: Sequence[tuple[Ask, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._answers([ask for ask, _ in asked])
        except Exception as error:
            answers = [error] * len(asked)
        settle([coming for _, coming in asked], [a if isinstance(a, Exception) else thaw(a) for a in answers])

    async def _answers(self, wanted: Sequence[Ask]) -> list[Answer | SaccadeError]:
        numbers: dict[str, int] = {}  # key of a part -> its place in the request
        asks = []
        for ask in wanted:
            canvas = ask.canvas
            places = tuple(numbers.setdefault(part.key, len(numbers)) for part in canvas.parts)
            asks.append(Asked(ask.question, canvas.rows, canvas.cols, places, ask.choices, ask.pattern))
            for part in canvas.parts:
                if part.key not in self._sent:
                    self._sent[part.key] = ray.put(freeze(part))
        return await self.readers.read(self.number, asks, [self._sent[key] for key in numbers])
