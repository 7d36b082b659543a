"""Memory that torch asks for while a piece of work runs."""

from collections.abc import Callable
from typing import Any

import torch

from saccade.machine import silenced


def peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes of tensors alive at once that `work()` itself allocated; on a GPU if one is in use, else the CPU.

    On the CPU from torch's profiler, so that it counts every allocation and repeats exactly.
    """
    if torch.cuda.is_available() and torch.cuda.memory_reserved():
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    from torch.profiler import ProfilerActivity, profile

    profiler: Any = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    with silenced():
        profiler.__enter__()
    try:
        work()
    finally:
        with silenced():
            profiler.__exit__(None, None, None)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    alive = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        most = max(most, alive)
    return most
