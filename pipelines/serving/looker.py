"""Runs requests as episodes: many at once in one event loop; each fixation is sent as soon as it is read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

from torch import Tensor

from pipelines.serving.backends import Backends
from pipelines.serving.encoder import Sight
from pipelines.serving.pictures import Box, Sheet
from pipelines.serving.reader import Piece, Said
from pipelines.serving.refusals import Refusal
from pipelines.serving.schema import Asked
from pipelines.serving.settings import ServeConfig
from saccade.episode import Ask, More, Seen, arun, episodes
from saccade.parts import JOIN
from saccade.picture import Picture
from saccade.types import Answer, Gaze, Grid, Trace
from saccade.wording import counted


@dataclass(frozen=True, slots=True)
class Fixation:
    """One look, and the answer read from it."""

    number: int  # from 1
    gaze: Gaze
    kept: tuple[int, ...]  # canvas cells, row * cols + col
    levels: tuple[int, ...]  # of each of them, 0: full resolution
    answer: Answer
    importance: Tensor | None  # (N,) in [0, 1]; None: not requested, or no scorer ran
    grid: Grid


@dataclass(frozen=True, slots=True)
class Looked:
    """How a request ended."""

    trace: Trace
    pieces: tuple[Piece, ...]  # tokens of the final answer, if they were requested
    seen: Seen
    boxes: tuple[Box, ...]  # where each image lies on the sheet
    sight: Sight
    waited_s: float


DRAIN_POLL_S = 0.05


class Place:
    """The place of a request that arrives, until it is given up: to wait for its turn, or because it ended."""

    def __init__(self, looker: "Looker") -> None:
        self.looker, self.held = looker, True
        looker.coming += 1

    def give_up(self) -> None:
        """Gives it up, once."""
        self.looker.coming -= self.held
        self.held = False


class Looker:
    """Runs up to `max_episodes` episodes at a time; `max_queue` more requests wait, and further ones are refused."""

    def __init__(self, config: ServeConfig, backends: Backends, limit_px: int | None) -> None:
        self.config, self.backends, self.limit_px = config, backends, limit_px
        self.room = asyncio.Semaphore(config.max_episodes)
        self.looking = self.waiting = self.coming = 0
        self.draining = False

    @contextmanager
    def arrival(self) -> Iterator[Place]:
        """Holds the place of a request while it is received and its images are opened: no more are held in memory than
        may wait and be looked at. `look` takes the place over, so that a request is counted at every moment.

        Raises:
            Refusal: 429 or 503, before anything of it is read.
        """
        if self.draining:
            raise Refusal(503, "the server is closing. Ask another one", code="draining")
        if self.taken >= self.config.max_episodes + self.config.max_queue:
            waiting = counted(self.waiting + self.coming, "request")
            raise Refusal(429, f"{waiting} waiting, no more are taken. Ask again later", code="queue_full")
        place = Place(self)
        try:
            yield place
        finally:
            place.give_up()

    @property
    def taken(self) -> int:
        """Requests that were not refused, and have not ended."""
        return self.looking + self.waiting + self.coming

    @asynccontextmanager
    async def turn(self, place: Place) -> AsyncIterator[float]:
        """Holds a place among the running episodes, in exchange for that of an arrival; yields the seconds waited."""
        loop = asyncio.get_running_loop()
        started, self.waiting = loop.time(), self.waiting + 1
        place.give_up()
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
        """Refuses new requests and waits up to `drain_s` for those taken; returns how many had not finished."""
        self.draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + self.config.drain_s
        while self.taken and loop.time() < end:
            await asyncio.sleep(DRAIN_POLL_S)
        return self.taken

    async def look(self, asked: Asked, sheet: Sheet, place: Place) -> AsyncGenerator[Fixation | Looked, None]:
        """Yields every fixation as it happens, then the outcome.

        Raises:
            SaccadeError: the picture or the question cannot be used, or the model failed.
        """
        queue: asyncio.Queue[Fixation | Looked | None] = asyncio.Queue()
        async with self.turn(place) as waited_s:
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
        reads: list[Said] = []

        async def read(ask: Ask) -> Answer:
            prompt = asked.prompt.removesuffix(asked.question) + ask.question  # the whole question, or a part of it
            reads.append(await self.backends.read(ask.canvas, prompt, asked.needs_pieces, affinity))
            grid, look, answer = seen.grid, ask.look, reads[-1].answer
            index, importance = look.selection.index, look.importance if asked.importance else None
            cells, levels = (grid.row * grid.cols + grid.col)[index].tolist(), grid.level[index].tolist()
            tell(Fixation(len(reads), look.gaze, tuple(cells), tuple(levels), answer, importance, grid))
            return answer

        async def encode(more: More) -> None:
            nonlocal sight
            deferred = await self.backends.see(sheet.data, asked.episode, asked.question, affinity, more.what)
            more.seen.receive(more.what, deferred.seen.encode(more.what), deferred.seen.seconds)
            sight = replace(deferred, hits=sight.hits + deferred.hits, misses=sight.misses + deferred.misses)

        (outcome,) = await arun(episodes(asked.episode, seen)[0], read, encode)
        if not isinstance(outcome, Trace):
            raise outcome
        tell(Looked(outcome, _pieces(outcome, reads), seen, sheet.boxes, sight, waited_s))


def _pieces(outcome: Trace, reads: Sequence[Said]) -> tuple[Piece, ...]:
    """The pieces of an answer; those of several parts with a comma in the place of each end token but the last."""
    # By their tokens: an episode may hold a copy of what was read.
    pieces = {(said.answer.token_ids, said.answer.logprobs): said.pieces for said in reads}
    found = [pieces.get((part.answer.token_ids, part.answer.logprobs), ()) for part in outcome.parts or (outcome,)]
    comma = Piece(JOIN, JOIN.encode())
    joined = [piece for pieces in found[:-1] for piece in (*pieces, comma)] if all(found) else []
    return (*joined, *found[-1])
