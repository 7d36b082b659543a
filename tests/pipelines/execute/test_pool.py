"""An actor that answers nobody is ended once, however many requests wait for it; one that is slow is left alone."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.execute import pool as module
from pipelines.execute.in_flight import Ledger
from pipelines.execute.pool import Pool

HANG_S = 0.2


class Actor:
    """An actor that answers after so many seconds, or hangs until it is ended. `others_s`: seconds since it answered
    somebody else; None: it does not even say so, as a process that is stopped."""

    def __init__(self, seconds: float, hangs: bool = False, others_s: float | None = None) -> None:
        self.seconds, self.others_s, self.ends = seconds, others_s, 0
        self.alive, self.turn = asyncio.Event(), asyncio.Lock()
        if not hangs:
            self.alive.set()
        self.read = SimpleNamespace(remote=self._read)
        self.ready = SimpleNamespace(remote=self.alive.wait)
        self.silence_s = SimpleNamespace(remote=self._silence_s)

    async def _read(self, question: str) -> str:
        await self.alive.wait()
        async with self.turn:
            await asyncio.sleep(self.seconds)
        return question

    async def _silence_s(self) -> float:
        if self.others_s is None or (self.ends and not self.alive.is_set()):  # one that opens says nothing, either
            await asyncio.sleep(60)
        return float(self.others_s or 0)


class Noted:
    """The ledger, as an actor."""

    def __init__(self) -> None:
        ledger = Ledger(1)
        self.may_end = SimpleNamespace(remote=ledger.may_end)
        self.begun_again = SimpleNamespace(remote=ledger.begun_again)


def answers_of(actor: Actor, monkeypatch: pytest.MonkeyPatch, num: int) -> Any:
    """The answers to some requests at once, half of them from each of two lookers."""

    def kill(killed: Actor, no_restart: bool) -> None:
        assert killed is actor and not no_restart
        actor.ends += 1
        asyncio.get_running_loop().call_later(5 * HANG_S, actor.alive.set)  # it opens, which takes its time

    monkeypatch.setattr(module.ray, "kill", kill)
    actors: dict[str, Any] = {"reader-0": actor, "ledger": Noted()}
    monkeypatch.setattr(module.ray, "get_actor", lambda name, namespace: actors[name])
    monkeypatch.setattr(module, "KILL_S", 0.0)
    monkeypatch.setattr(module, "ALIVE_S", HANG_S)
    plan: Any = SimpleNamespace(namespace="n", hang_s=HANG_S, max_restarts=1, ledger="ledger")
    pools = [Pool("reader", ["reader-0"], plan) for _ in range(2)]
    return asyncio.gather(*(pools[number % 2].ask(0, "read", str(number)) for number in range(num)))


@pytest.mark.parametrize(
    "actor, ends",
    [
        (lambda: Actor(HANG_S / 2, hangs=True), 1),  # as a process that is stopped
        (lambda: Actor(HANG_S / 2, hangs=True, others_s=99.0), 1),  # it lives, and nobody gets an answer
        (lambda: Actor(HANG_S / 2, others_s=0.0), 0),  # six in turn take three times what one may be silent
        (lambda: Actor(3 * HANG_S, others_s=0.0), 0),  # others ask it as well, and are answered meanwhile
    ],
    ids=["stopped", "stuck", "slow", "shared"],
)
def test_one_that_hangs_is_ended_once_and_asked_again(actor: Any, ends: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> int:
        one = actor()
        assert await answers_of(one, monkeypatch, 6) == [str(number) for number in range(6)]
        return int(one.ends)

    assert asyncio.run(run()) == ends
