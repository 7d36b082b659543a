"""Peak extra memory of every scorer on one image, as JSON: `python -m tests.importance.peak ROWS COLS`.

Resident memory, not torch's own count: OpenCV and NumPy allocate too. Linux can forget a process's peak (clear_refs).
"""

import ctypes
import gc
import json
import sys
import tempfile
from pathlib import Path

import torch

from tests.importance.variants import scene, variants
from tests.resident import resident_mib


def main(rows: int, cols: int) -> None:
    """Prints {scorer: MiB}."""
    torch.set_num_threads(1)
    batch, peaks = scene(rows, cols), {}
    small = scene(4, 4)
    libc = ctypes.CDLL("libc.so.6")
    with tempfile.TemporaryDirectory() as folder:
        for name, scorer in variants(Path(folder)).items():
            scorer(small)  # loads what it needs
            gc.collect()
            libc.malloc_trim(0)  # freed memory that is still held would hide what is asked for anew
            Path("/proc/self/clear_refs").write_text("5")
            before = resident_mib("VmRSS")
            scorer(batch)
            peaks[name] = round(resident_mib("VmHWM") - before, 1)
    print(json.dumps(peaks))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
