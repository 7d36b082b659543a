"""The readers: a pool of named actors that hold an engine each and that every looker shares."""

import asyncio
import time
from contextlib import ExitStack, suppress
from typing import Any

import ray

from pipelines.execute.async_reader import Turns
from pipelines.execute.plan import Plan, survived
from pipelines.execute.wire import freeze, thaw
from saccade.errors import EngineDead, EngineError, SaccadeError, describe
from saccade.types import Answer, Canvas

OPEN_S = 1800.0
"""What a reader that is started again may take to open its engine."""

KILL_S = 2.0
"""What Ray takes to end an actor: before that, it would still be the old one that answers."""


UNREACHABLE_S, UNREACHABLE_TRIES = 5.0, 12
"""A request to a reader that cannot be reached is repeated so often, so long apart."""


class ReaderActor:
    """Answers; a request holds the whole canvas, so a restarted reader needs no history.

    Requests run together on an engine that batches them (`aread`), on another one in turn.
    """

    def __init__(self, plan: Plan) -> None:
        import torch

        torch.set_num_threads(plan.threads)
        self.plan, self.stack = plan, ExitStack()
        self.failed: Exception | None = None
        try:
            self.turns = Turns(self.stack.enter_context(plan.engine.open_reader()))
            self.stack.callback(self.turns.close)
        except Exception as error:  # an actor that dies while it is made loses the reason: `ready` tells it
            self.failed = error

    async def close(self) -> None:
        """Closes the engine."""
        self.stack.close()

    async def ready(self) -> None:
        """Raises what went wrong when the engine was opened."""
        if self.failed is not None:
            raise self.failed

    async def read(self, canvas: Canvas, question: str) -> Answer | SaccadeError:
        """The answer, or the error that costs this question. Canvas and answer travel packed by `freeze`."""
        if self.failed is not None:
            return EngineError(describe(self.failed))
        try:
            return freeze(await self.turns.read(thaw(canvas), question))
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
        self.heard = [0.0] * len(self.actors)  # when each reader last answered, or was started again
        self.restarts: dict[int, asyncio.Future[None]] = {}
        self.read_s = plan.read_s

    def least_busy(self) -> int:
        """The reader with the fewest episodes waiting or open."""
        return min(range(len(self.open)), key=self.open.__getitem__)

    async def read(self, number: int, canvas: Canvas, question: str) -> Answer:
        """One read by one reader.

        Raises:
            SaccadeError: the question failed.
            EngineDead: the reader died or hung, also when the request was repeated.
        """
        frozen = freeze(canvas)
        for tries_left in reversed(range(UNREACHABLE_TRIES)):
            try:
                answer = await self._answer(number, self.actors[number].read.remote(frozen, question))
                break
            except ray.exceptions.ActorUnavailableError as error:  # its node may be gone, which Ray learns in seconds
                if not tries_left:
                    raise EngineDead(f"reader {number} cannot be reached") from error
                await asyncio.sleep(UNREACHABLE_S)
            except ray.exceptions.RayActorError as error:
                raise EngineDead(f"reader {number} died, and died again when its request was repeated") from error
        if isinstance(answer, SaccadeError):
            raise answer
        return thaw(answer)  # type: ignore[no-any-return]

    async def _answer(self, number: int, request: Any) -> Any:
        """What the reader says. One that says nothing for `read_s` hangs: it is ended, and Ray, which starts it again,
        repeats its requests as it does those of a reader that died."""
        waiting, asked = asyncio.ensure_future(_value(request)), time.monotonic()
        while True:
            silent_s = time.monotonic() - max(asked, self.heard[number])
            done, _ = await asyncio.wait({waiting}, timeout=max(0.01, self.read_s - silent_s))
            if done:
                self.heard[number] = time.monotonic()
                return waiting.result()
            if time.monotonic() - max(asked, self.heard[number]) >= self.read_s:
                self.heard[number] = time.monotonic() + OPEN_S  # here: other requests to it must not end it again
                self.restarts[number] = asyncio.ensure_future(self._restart(number))

    async def _restart(self, number: int) -> None:
        """Ends a reader; its silence counts again once it has opened its engine anew."""
        ray.kill(self.actors[number], no_restart=False)
        await asyncio.sleep(KILL_S)
        with suppress(ray.exceptions.RayError, SaccadeError):  # the requests themselves tell what went wrong
            await self.actors[number].ready.remote()
        self.heard[number] = time.monotonic()


async def _value(request: Any) -> Any:
    return await request
