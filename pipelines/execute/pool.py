"""The encoders, or the readers, as one looker asks them: again while they cannot be reached, and ended if they hang."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import ray

from pipelines.execute.plan import Plan
from saccade.errors import EngineDead, SaccadeError

UNREACHABLE_S, UNREACHABLE_TRIES = 5.0, 12
"""Pause between requests to an actor that cannot be reached, and how many: its node may be gone, which Ray learns
within seconds, and it then starts the actor elsewhere."""

OPEN_S = 1800.0
"""How long a restarted actor may take to open its engine."""

KILL_S = 2.0
"""How long Ray takes to end an actor: before that, the old one would still answer."""

ALIVE_S = 15.0
"""How long an actor may take to say when it last answered anybody. It says so between two answers."""


class Pool:
    """Named actors that Ray restarts. One that hangs is started again: a request to it would wait for ever."""

    def __init__(self, who: str, names: list[str], plan: Plan) -> None:
        self.who, self.names = who, names
        self.actors = [ray.get_actor(name, plan.namespace) for name in names]
        self.ledger = ray.get_actor(plan.ledger, plan.namespace)
        self.open = [0] * len(self.actors)  # images or questions with each
        self.hang_s, self.repeat = plan.hang_s, plan.max_restarts > 0
        self.answered_at = [0.0] * len(self.actors)  # when each last answered anybody, or was started again
        self.restarts: dict[int, asyncio.Future[None]] = {}

    def least_busy(self) -> int:
        """The actor with the least open."""
        return min(range(len(self.open)), key=self.open.__getitem__)

    async def ask(self, number: int, method: str, *args: Any) -> Any:
        """What an actor answers. One that cannot be reached is asked again.

        Raises:
            EngineDead: it died or hung, or cannot be reached, also when the request was repeated.
        """
        who, request = f"{self.who} {number}", getattr(self.actors[number], method)
        for tries_left in reversed(range(UNREACHABLE_TRIES if self.repeat else 1)):
            try:
                return await self._answer(number, request.remote(*args))
            except ray.exceptions.ActorUnavailableError as error:
                if not tries_left:
                    raise EngineDead(f"{who} died, or cannot be reached") from error
                await asyncio.sleep(UNREACHABLE_S)
            except ray.exceptions.RayActorError as error:
                raise EngineDead(f"{who} died or hung, and did again when its request was repeated") from error
        raise AssertionError("the last try returns or raises")

    async def _answer(self, number: int, request: Any) -> Any:
        """The actor's answer. One that answers nobody for `hang_s` hangs: it is ended, and Ray, which restarts it,
        repeats its requests as it does those of an actor that died."""
        waiting, asked = asyncio.ensure_future(_value(request)), time.monotonic()
        while True:
            silent_s = time.monotonic() - max(asked, self.answered_at[number])
            done, _ = await asyncio.wait({waiting}, timeout=max(0.01, self.hang_s - silent_s))
            if done:
                self.answered_at[number] = max(self.answered_at[number], time.monotonic())
                return waiting.result()
            if not self._is_silent(number, asked):
                continue
            silence_s = await self._silence(number)
            self.answered_at[number] = max(self.answered_at[number], time.monotonic() - silence_s)
            if not waiting.done() and self._is_silent(number, asked):
                self.answered_at[number] = time.monotonic() + OPEN_S  # here: other requests to it must not end it again
                self.restarts[number] = asyncio.ensure_future(self._restart(number))

    def _is_silent(self, number: int, asked: float) -> bool:
        return time.monotonic() - max(asked, self.answered_at[number]) >= self.hang_s

    async def _silence(self, number: int) -> float:
        """Seconds since an actor last answered anybody: other lookers ask it as well."""
        try:
            return float(await asyncio.wait_for(_value(self.actors[number].silence_s.remote()), ALIVE_S))
        except (TimeoutError, ray.exceptions.RayError):
            return float("inf")

    async def _restart(self, number: int) -> None:
        """Ends an actor, unless another looker does; its silence counts again once it has opened its engine anew."""
        name, ends = self.names[number], False
        with suppress(ray.exceptions.RayError, SaccadeError):  # the requests themselves tell what went wrong
            if ends := await self.ledger.may_end.remote(name, OPEN_S):
                ray.kill(self.actors[number], no_restart=False)
            await asyncio.sleep(KILL_S)
            await self.actors[number].ready.remote()
        if ends:
            await self.ledger.begun_again.remote(name, self.hang_s)
        self.answered_at[number] = time.monotonic()


async def _value(request: Any) -> Any:
    return await request
