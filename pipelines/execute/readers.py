"""The readers: a pool of named actors, each with an engine, which all lookers share."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from pipelines.execute.actor import EngineActor
from pipelines.execute.async_reader import Turns, settle
from pipelines.execute.plan import Plan, survived
from pipelines.execute.pool import Pool
from pipelines.execute.serialization import freeze, thaw
from saccade.episode import Ask
from saccade.errors import EngineError, SaccadeError, describe
from saccade.types import Answer, Canvas, Part


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
        return await self.answer(asyncio.gather(*(self._read(ask, thawed) for ask in asks)))

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


class Readers(Pool):
    """The readers as one looker uses them. An image stays with one reader, whose caches know its canvases."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("reader", [plan.reader(number) for number in range(plan.num_readers)], plan)
        self.slots = [asyncio.Semaphore(plan.episodes_per_looker) for _ in self.actors]
        self.concurrent = all(ray.get([actor.concurrent.remote() for actor in self.actors]))

    async def read(self, number: int, asks: Sequence["Asked"], parts: Sequence[Any]) -> list[Answer | SaccadeError]:
        """What a reader answers, packed; or the error that costs an ask, in its place. Raises EngineDead as `ask`."""
        return await self.ask(number, "read", asks, *parts)  # type: ignore[no-any-return]


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
