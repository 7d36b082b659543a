"""A process's own memory, as Linux counts it; for code that tests run in a process of its own.

Not `ru_maxrss`: that peak is carried over exec, so a process that pytest starts would begin with what pytest holds.
"""

import re
from pathlib import Path


def resident_mib(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process."""
    line = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert line
    return int(line[1]) / 1024
