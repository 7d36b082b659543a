"""The readers: a pool of named actors that hold an engine each and that every looker shares."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack

import ray

from pipelines.execute.async_reader import Turns
from pipelines.execute.plan import Plan, survived
from pipelines.execute.wire import freeze, thaw
from saccade.errors import EngineDead, EngineError, SaccadeError, describe
from saccade.types import Answer, Canvas


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

    async def read(self, canvas: Canvas, question: str, choices: Sequence[str] = ()) -> Answer | SaccadeError:
        """The answer, or the error that costs this question. Canvas and answer travel packed by `freeze`."""
        if self.failed is not None:
            return EngineError(describe(self.failed))
        try:
            return freeze(await self.turns.read(thaw(canvas), question, choices))
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

    def least_busy(self) -> int:
        """The reader with the fewest episodes waiting or open."""
        return min(range(len(self.open)), key=self.open.__getitem__)

    async def read(self, number: int, canvas: Canvas, question: str, choices: Sequence[str] = ()) -> Answer:
        """One read by one reader.

        Raises:
            SaccadeError: the question failed.
            EngineDead: the reader died, also when the request was repeated.
        """
        try:
            answer = await self.actors[number].read.remote(freeze(canvas), question, choices)
        except ray.exceptions.RayActorError as error:
            raise EngineDead(f"reader {number} died, and died again when its request was repeated") from error
        if isinstance(answer, SaccadeError):
            raise answer
        return thaw(answer)  # type: ignore[no-any-return]
