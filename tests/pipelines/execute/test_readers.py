"""A reader that answers nothing is ended once, however many requests wait for it; one that is slow is left alone."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipelines.execute import readers as module
from pipelines.execute.readers import Readers

READ_S = 0.2


class Actor:
    """An actor that answers after so many seconds, or hangs until it is ended."""

    def __init__(self, seconds: float, hangs: bool = False) -> None:
        self.seconds, self.ends = seconds, 0
        self.alive, self.turn = asyncio.Event(), asyncio.Lock()
        if not hangs:
            self.alive.set()
        self.read = SimpleNamespace(remote=self._read)
        self.ready = SimpleNamespace(remote=self.alive.wait)

    async def _read(self, question: str) -> str:
        await self.alive.wait()
        async with self.turn:
            await asyncio.sleep(self.seconds)
        return question


def answers_of(actor: Actor, monkeypatch: pytest.MonkeyPatch, num: int) -> Any:
    """The answers to some requests at once."""

    def kill(killed: Actor, no_restart: bool) -> None:
        assert killed is actor and not no_restart
        actor.ends += 1
        asyncio.get_running_loop().call_later(3 * READ_S, actor.alive.set)  # it opens, which takes its time

    monkeypatch.setattr(module.ray, "kill", kill)
    monkeypatch.setattr(module, "KILL_S", 0.0)
    pool = object.__new__(Readers)
    pool.actors, pool.answered_at, pool.restarts, pool.read_s = [cast(Any, actor)], [0.0], {}, READ_S
    return asyncio.gather(*(pool._answer(0, actor.read.remote(str(number))) for number in range(num)))


@pytest.mark.parametrize("hangs, ends", [(True, 1), (False, 0)])
def test_one_that_hangs_is_ended_once_and_asked_again(hangs: bool, ends: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> int:
        actor = Actor(READ_S / 2, hangs)  # six in turn take three times what one may be silent
        assert await answers_of(actor, monkeypatch, 6) == [str(number) for number in range(6)]
        return actor.ends

    assert asyncio.run(run()) == ends
