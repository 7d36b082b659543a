"""Where the time goes: seconds by stage, for whoever asks.

    with clock() as spent:          # {"encoder": 0.31, "prefill": 0.12, ...}
        ...

A function is marked with its stage; outside of `clock` the mark costs next to nothing. The time of a stage inside
another one is subtracted from the outer one, so that no second is counted twice.
"""

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

STAGES = ("decoding", "pyramid", "encoder", "scoring", "selection", "prefill", "answer")
"""Pixels from a file; views of the page, cut into patches; the vision tower; importance; tokens chosen; the decoder
over visual tokens and question; the answer, token by token."""


class _Clock:
    """Stages under way, innermost last, each with the seconds that inner ones took off it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.inner: list[float] = []

    def run(self, stage: str, work: Callable[[], R]) -> R:
        self.inner.append(0.0)
        settle()
        started = time.perf_counter()
        try:
            return work()
        finally:
            settle()
            seconds = time.perf_counter() - started
            self.spent[stage] = self.spent.get(stage, 0.0) + seconds - self.inner.pop()
            if self.inner:
                self.inner[-1] += seconds


def settle() -> None:
    """Waits until a GPU in use has done what it was given: its work would else be counted where it is waited for."""
    torch = sys.modules.get("torch")  # who has not imported it uses no GPU
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


_running: ContextVar[_Clock | None] = ContextVar("clock", default=None)


@contextmanager
def clock() -> Iterator[dict[str, float]]:
    """Seconds of every stage that runs in this block, in this thread or task; a stage that never ran is not in it."""
    timer = _Clock()
    token = _running.set(timer)
    try:
        yield timer.spent
    finally:
        _running.reset(token)


def stage(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Marks a function as one of `STAGES`."""
    assert name in STAGES, name

    def decorate(work: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(work)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            running = _running.get()
            return work(*args, **kwargs) if running is None else running.run(name, lambda: work(*args, **kwargs))

        return run

    return decorate
