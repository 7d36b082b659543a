"""What this machine has: its CPUs and devices, asked for in one place; and its standard error, kept quiet."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from saccade.errors import ConfigError
from saccade.wording import counted


def num_cpus() -> int:
    """CPUs that this process may use, which in a container or under taskset are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolved_device(name: str) -> torch.device:
    """The device that auto, cpu, cuda or cuda:N stands for here.

    Raises:
        ConfigError: there is no such device, or torch does not see it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device: torch.device | None
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"no device {name!r}. There are: auto, cpu, cuda, cuda:0, cuda:1, ...")
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= seen:
        raise ConfigError(
            f"no device {name!r} here: torch sees {counted(seen, 'GPU')}. Give auto or cpu; if the machine has a GPU, "
            "install torch's CUDA build"
        )
    return device


@contextmanager
def silenced() -> Iterator[None]:
    """Nothing is written to the standard error meanwhile, nor past Python by C++: Ray and torch's profiler do."""
    sys.stderr.flush()
    stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)
