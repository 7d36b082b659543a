"""One request as an episode: many run at once in one event loop, each fixation is told as soon as it is read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydantic import PrivateAttr
from torch import Tensor

from pipelines.serving.backends import Backends
from pipelines.serving.encoder import Sight
from pipelines.serving.pictures import Box, Sheet
from pipelines.serving.reader import Piece, Said
from pipelines.serving.refusals import Refusal
from pipelines.serving.schema import Asked
from pipelines.serving.settings import ServeConfig
from saccade.config import Episode, Strategies
from saccade.look import Seen, arun, episodes
from saccade.picture import Picture
from saccade.planners import Planner, Score
from saccade.types import Answer, Canvas, Gaze, Grid, Scene, Step, Trace


@dataclass(frozen=True, slots=True)
class Fixation:
    """One look and what was said after it."""

    number: int  # from 1
    gaze: Gaze
    kept: tuple[int, ...]  # canvas cells, row * cols + col
    answer: Answer
    importance: Tensor | None  # (N,) in [0, 1], when it was asked for and there is any
    grid: Grid


@dataclass(frozen=True, slots=True)
class Looked:
    """How a request ended."""

    trace: Trace
    pieces: tuple[Piece, ...]  # tokens of the final answer, when they were asked for
    seen: Seen
    boxes: tuple[Box, ...]  # where each image lies on the sheet
    sight: Sight
    waited_s: float


DRAIN_POLL_S = 0.05

Told = Callable[[Gaze, Tensor | None], None]


class Looker:
    """Runs episodes, so many at a time; as many again as `max_queue` wait, and one more is refused."""

    def __init__(self, config: ServeConfig, backends: Backends, limit_px: int | None) -> None:
        self.config, self.backends, self.limit_px = config, backends, limit_px
        self.room = asyncio.Semaphore(config.max_episodes)
        self.looking = self.waiting = 0
        self.draining = False

    def check_room(self) -> None:
        """Refuses a request that would find the queue full, or the server closing, before its body is read.

        Raises:
            Refusal: 429 or 503.
        """
        if self.draining:
            raise Refusal(503, "the server is closing. Ask another one", code="draining")
        if self.room.locked() and self.waiting >= self.config.max_queue:
            raise Refusal(
                429, f"{self.waiting} requests wait already; no more are taken. Ask again later", code="queue_full"
            )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """A place among those that are looked at; gives the seconds waited for it."""
        self.check_room()
        loop = asyncio.get_running_loop()
        started, self.waiting = loop.time(), self.waiting + 1
        try:
            await self.room.acquire()
        finally:
            self.waiting -= 1
        self.looking += 1
        try:
            yield loop.time() - started
        finally:
            self.looking -= 1
            self.room.release()

    async def drain(self) -> int:
        """Refuses new requests from now on, waits for those there are; how many had not ended after `drain_s`."""
        self.draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + self.config.drain_s
        while self.looking + self.waiting and loop.time() < end:
            await asyncio.sleep(DRAIN_POLL_S)
        return self.looking + self.waiting

    async def look(self, asked: Asked, sheet: Sheet) -> AsyncGenerator[Fixation | Looked, None]:
        """Every fixation as it happens, then how it ended.

        Raises:
            SaccadeError: the picture or the question cannot be used, or the model failed.
        """
        queue: asyncio.Queue[Fixation | Looked | None] = asyncio.Queue()
        async with self.turn() as waited_s:
            work = asyncio.ensure_future(self._work(asked, sheet, waited_s, queue.put_nowait))
            work.add_done_callback(lambda _: queue.put_nowait(None))
            try:
                while (event := await queue.get()) is not None:
                    yield event
                await work
            finally:
                work.cancel()

    async def _work(
        self, asked: Asked, sheet: Sheet, waited_s: float, tell: Callable[[Fixation | Looked], None]
    ) -> None:
        picture = Picture.open(sheet.data, self.limit_px)
        affinity = await asyncio.to_thread(lambda: picture.sha256)
        sight = await self.backends.see(sheet.data, asked.episode, asked.question, affinity)
        seen = replace(sight.seen, picture=picture)
        if asked.episode.view == "foveate":  # scorers may look at pixels: decode them before, not in the event loop
            await asyncio.to_thread(lambda: picture.rgb)
        episode = Watched.of(asked.episode)
        told = _Teller(seen, tell)
        episode.watch(told.gaze, asked.importance)

        async def read(canvas: Canvas, question: str) -> Answer:
            said = await self.backends.read(canvas, asked.prompt, asked.needs_pieces, affinity)
            told.read(canvas, said)
            return said.answer

        (outcome,) = await arun(episodes(episode, seen)[0], read)
        if not isinstance(outcome, Trace):
            raise outcome
        told.rest(outcome)
        pieces = next((said.pieces for said in told.said if said.answer is outcome.answer), ())
        tell(Looked(outcome, pieces, seen, sheet.boxes, sight, waited_s))


class _Teller:
    """Puts together what the planner said and what the reader said."""

    def __init__(self, seen: Seen, tell: Callable[[Fixation | Looked], None]) -> None:
        self.seen, self.tell = seen, tell
        self.aimed: tuple[Gaze, Tensor | None] | None = None
        self.said: list[Said] = []
        self.number = 0
        self.parts = 0 if seen.glimpse is None else 1  # of the canvas, told so far

    def gaze(self, gaze: Gaze, importance: Tensor | None) -> None:
        """The planner looks somewhere."""
        self.aimed = gaze, importance

    def read(self, canvas: Canvas, said: Said) -> None:
        """The reader answered. Looks that no planner aimed (views, blind samplers) are told by `rest`."""
        self.said.append(said)
        if self.aimed is None or len(canvas.parts) <= self.parts:
            return
        part, self.parts = canvas.parts[-1], len(canvas.parts)
        kept = (part.row * canvas.cols + part.col).tolist()
        self._tell(self.aimed[0], kept, said.answer, self.aimed[1])

    def rest(self, trace: Trace) -> None:
        """Looks that were not told when they happened."""
        grid = self.seen.encoding.grid
        cells = grid.row * grid.cols + grid.col
        for step in trace.steps[self.number :]:
            self._tell(step.gaze, cells[step.selection.index].tolist(), step.answer, None)

    def _tell(self, gaze: Gaze, kept: list[int], answer: Answer, importance: Tensor | None) -> None:
        self.number += 1
        grid = self.seen.encoding.grid
        self.tell(Fixation(self.number, gaze, tuple(kept), answer, importance, grid))


class Watched(Episode):
    """An episode's settings, with a listener that hears of every gaze the moment it is chosen."""

    @classmethod
    def of(cls, settings: Episode) -> "Watched":
        """The same settings, checked already."""
        return cls(**{name: getattr(settings, name) for name in Episode.model_fields})

    def watch(self, told: Told, importance: bool) -> None:
        """Calls `told` from now on, with the importance of each look where it is wanted."""
        self.strategies.planner = Listening.to(self.strategies.planner, told, importance)

    @cached_property
    def strategies(self) -> Strategies:
        """The strategies that the settings name."""
        return Strategies(self)


class Listening(Planner):
    """Another planner, overheard."""

    _planner: Any = PrivateAttr(None)
    _told: Any = PrivateAttr(None)
    _importance: bool = PrivateAttr(False)

    @classmethod
    def to(cls, planner: Planner, told: Told, importance: bool) -> "Listening":
        """Gazes, and what they favour where it is wanted, go to `told`."""
        made = cls()
        made._planner, made._told, made._importance = planner, told, importance
        return made

    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        """The other planner's gazes."""
        inner = self._planner.flow(scene, score)
        gaze: Gaze = next(inner)
        whole = score(scene)[0] if self._importance and gaze.importance is None else None  # (N,)
        while True:
            favoured = gaze.importance if gaze.importance is not None else whole
            self._told(gaze, favoured if self._importance else None)
            step: Step = yield gaze
            gaze = inner.send(step)
