"""Memory that torch allocates while a function runs."""

from collections.abc import Callable
from typing import Any

import torch

from saccade.machine import silenced


def peak_bytes(work: Callable[[], object]) -> int:
    """Peak bytes of the tensors that `work()` allocates, on the GPU if one is in use, else on the CPU.

    On the CPU it is computed from torch's profiler, which counts every allocation, so that it repeats exactly.
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
