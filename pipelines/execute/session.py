"""A Ray session, started and ended silently."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import ray

from pipelines.execute import diagnosis
from pipelines.execute.address import check_address, refused
from pipelines.execute.orphans import ended_with_driver
from saccade.errors import ConfigError, EngineDead
from saccade.machine import num_cpus, silenced


@contextmanager
def ray_started(address: str | None, namespace: str) -> Iterator[None]:
    """A Ray session: the one there is, the cluster at `address`, or one on this machine.

    The last ends with the block, and with this process where that is killed.

    Raises:
        ConfigError: there is no cluster at the address, it refuses the connection, or this machine has no room for Ray.
        EngineDead: Ray does not start here.
    """
    if ray.is_initialized():
        yield
        return
    if address is not None:
        check_address(address)
    elif why := diagnosis.before_ray():
        raise ConfigError(why)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters reaches us as an exception
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves a run where anything else computes
    local = {"include_dashboard": False, "num_cpus": max(2, num_cpus())} if address is None else {}
    options = {"namespace": namespace, "log_to_driver": False, "logging_level": logging.ERROR, **local}
    with ExitStack() as ended:
        if address is None:
            ended.enter_context(ended_with_driver(Path(ray.__file__).parent))
        _start(address, options)
        try:
            yield
        finally:
            with hushed():
                ray.shutdown()


def _start(address: str | None, options: dict[str, Any]) -> None:
    try:
        with silenced(), _own_handlers():
            ray.init(address=address or "local", **options)
    except SystemExit as stopped:  # Ray's own handler of SIGTERM, which it has while it starts
        raise KeyboardInterrupt from stopped
    except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError and bare Exception here
        ray.shutdown()
        if address is not None:
            raise refused(address, error) from error
        raise EngineDead(f"Ray did not start on this machine, which may be overloaded: {error} Try again") from error


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Restores the handler of SIGTERM afterwards: Ray's would end the session while questions are being answered.

    Below Python's, Ray's C++ has a handler that prints a stack and aborts; setting Python's again replaces both.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers belong to the main thread
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def hushed() -> Iterator[None]:
    """Silences the block: Ray prints an error for every read of a reader that is being ended."""
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), silenced():
        yield
