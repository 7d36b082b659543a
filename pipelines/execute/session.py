"""A Ray session that is started, used and ended without a word."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import ray

from pipelines.execute import faults
from saccade.errors import ConfigError, EngineDead
from saccade.machine import num_cpus


@contextmanager
def ray_started(address: str | None, namespace: str) -> Iterator[None]:
    """A Ray session: the one there is, the cluster at `address`, or one on this machine that ends with the block.

    Raises:
        ConfigError: there is no cluster at the address, or this machine has no room for Ray.
        EngineDead: Ray does not start here.
    """
    if ray.is_initialized():
        yield
        return
    if address is None and (why := faults.before_ray()):
        raise ConfigError(why)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters reaches us as an exception
    local = {"include_dashboard": False, "num_cpus": max(2, num_cpus())} if address is None else {}
    options = {"namespace": namespace, "log_to_driver": False, "logging_level": logging.ERROR, **local}
    try:
        with _quiet():
            ray.init(address=address or "local", **options)
    except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError and bare Exception here
        ray.shutdown()
        if address is not None:
            raise ConfigError(f"no Ray cluster at {address!r}: {error}") from error
        raise EngineDead(f"Ray did not start on this machine, which may be overloaded: {error} Try again") from error
    try:
        yield
    finally:
        with hushed():
            ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is written to the standard error meanwhile, not by C++ either: setting its log level logs a line."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextmanager
def hushed() -> Iterator[None]:
    """Nothing is written meanwhile: for each read of a reader that is ended Ray prints that it failed."""
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), _quiet():
        yield
