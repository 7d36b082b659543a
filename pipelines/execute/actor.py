"""What encoders and readers share: a process that holds an engine, and that reports why it could not open it."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from contextlib import ExitStack
from typing import TypeVar

from pipelines.execute.plan import Plan

T = TypeVar("T")


class EngineActor(ABC):
    """An actor of the graph that holds an engine."""

    def __init__(self, plan: Plan) -> None:
        import torch

        torch.set_num_threads(plan.threads)
        self.plan, self.stack = plan, ExitStack()
        self.failed: Exception | None = None
        try:
            self.open()
        except Exception as error:  # an actor that dies in its constructor loses the reason: `ready` raises it
            self.failed = error
        self.answered_at = time.monotonic()

    @abstractmethod
    def open(self) -> None:
        """Opens what it holds, on `self.stack`."""

    async def answer(self, coming: Awaitable[T]) -> T:
        """What answers a request; from then on the actor is silent, until it answers the next one."""
        try:
            return await coming
        finally:
            self.answered_at = time.monotonic()

    async def silence_s(self) -> float:
        """Seconds since it last answered a request, or was opened."""
        return time.monotonic() - self.answered_at

    async def close(self) -> None:
        """Closes the engine."""
        self.stack.close()

    async def ready(self) -> None:
        """Raises what went wrong when the engine was opened."""
        if self.failed is not None:
            raise self.failed
