"""The log-polar map and its way back against cv2.warpPolar: the same picture, bins and gaze, in one run.

    python -m tests.benchmarks.logpolar [--repeats 30] [--output results/logpolar.json]

1080p and 4K, 128 x 256 and 256 x 512 bins (rho x theta), three uint8 channels. `array` is `log_polar` of an array
(OpenCV's remap, tables kept), `tensor` that of a float32 tensor (grid_sample, tables kept); warpPolar keeps no tables.
The three take turns, so that a busy machine is busy for all; a ratio is that of medians. The difference is that of the
array's map to warpPolar's in grey levels of 255, inside the picture. Threads as they come.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.geometry.logpolar import inverse_log_polar, log_polar
from saccade.machine import num_cpus

SIZES = {"1080p": (1080, 1920), "4K": (2160, 3840)}
BINS = ((128, 256), (256, 512))
GAZE = (0.4, 0.55)
TARGET = 1.5  # of warpPolar's time, at most


def picture(height: int, width: int) -> np.ndarray:
    """Smooth noise: neighbouring pixels are alike, as in photographs."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def timed(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each way, taken in turns; the first call of each is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        call()
    for _ in range(repeats):
        for name, call in ways.items():
            started = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(each) for name, each in times.items()}


def measure(height: int, width: int, num_rho: int, num_theta: int, repeats: int) -> list[dict[str, Any]]:
    """Both directions of one size and one number of bins."""
    image = picture(height, width)
    x, y = GAZE[0] * width - 0.5, GAZE[1] * height - 0.5
    far = max(np.hypot(x - cx, y - cy) for cx in (0, width - 1) for cy in (0, height - 1))
    largest = (1 + far) ** (num_rho / (num_rho - 1))  # warpPolar ends one step beyond its last row
    flags = cv2.WARP_POLAR_LOG | cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS

    def warp(pixels: np.ndarray, size: tuple[int, int], more: int = 0) -> np.ndarray:
        return cv2.warpPolar(pixels, size, (x, y), largest, flags | more)

    tensor, gaze = torch.from_numpy(image).permute(2, 0, 1)[None].float().contiguous(), torch.tensor([GAZE])
    started = time.perf_counter()
    polar = log_polar(image, GAZE, num_rho, num_theta)
    forward_table = 1000 * (time.perf_counter() - started)
    started = time.perf_counter()
    back = inverse_log_polar(polar, GAZE, height, width)
    inverse_table = 1000 * (time.perf_counter() - started)
    theirs, upright = warp(image, (num_rho, num_theta)), np.ascontiguousarray(polar.transpose(1, 0, 2))
    polar_tensor = log_polar(tensor, gaze, num_rho, num_theta)
    inside = warp(np.full_like(image, 255), (num_rho, num_theta)).transpose(1, 0, 2) == 255
    theirs_back = warp(upright, (width, height), cv2.WARP_INVERSE_MAP)
    forward = timed(
        {
            "warpPolar": lambda: warp(image, (num_rho, num_theta)),
            "array": lambda: log_polar(image, GAZE, num_rho, num_theta),
            "tensor": lambda: log_polar(tensor, gaze, num_rho, num_theta),
        },
        repeats,
    )
    inverse = timed(
        {
            "warpPolar": lambda: warp(upright, (width, height), cv2.WARP_INVERSE_MAP),
            "array": lambda: inverse_log_polar(polar, GAZE, height, width),
            "tensor": lambda: inverse_log_polar(polar_tensor, gaze, height, width),
        },
        repeats,
    )
    there = np.abs(polar.astype(float) - theirs.transpose(1, 0, 2))[inside]
    return [
        row("forward", forward, forward_table, there),
        row("inverse", inverse, inverse_table, np.abs(back.astype(float) - theirs_back)),
    ]


def row(direction: str, ms: dict[str, float], first_ms: float, difference: np.ndarray) -> dict[str, Any]:
    return {
        "direction": direction,
        "ms": ms,
        "first_call_ms": first_ms,  # of the array, building its tables
        "array_to_warp_polar": ms["array"] / ms["warpPolar"],
        "tensor_to_warp_polar": ms["tensor"] / ms["warpPolar"],
        "mean_difference": float(difference.mean()),
        "largest_difference_of_999_in_1000": float(np.quantile(difference, 0.999)),
    }


def main() -> None:
    """Measures, prints, writes the results file."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--repeats", type=int, default=30)
    asked.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "logpolar.json")
    given = asked.parse_args()
    rows, shown = [], Table("picture", "bins", "", "warpPolar ms", "array", "ratio", "tensor", "ratio", "difference")
    for name, (height, width) in SIZES.items():
        for bins in BINS:
            for measures in measure(height, width, *bins, given.repeats):
                rows.append({"picture": name, "bins": list(bins), **measures})
                ms = measures["ms"]
                cells = [f"{ms['warpPolar']:.2f}", f"{ms['array']:.2f}", f"{measures['array_to_warp_polar']:.2f}"]
                cells += [
                    f"{ms['tensor']:.2f}",
                    f"{measures['tensor_to_warp_polar']:.2f}",
                    f"{measures['mean_difference']:.2f}",
                ]
                shown.add_row(name, "x".join(map(str, bins)), measures["direction"], *cells)
    threads = {"cpus": num_cpus(), "torch_threads": torch.get_num_threads(), "opencv_threads": cv2.getNumThreads()}
    slowest = max(each["array_to_warp_polar"] for each in rows)
    result = {"repeats": given.repeats, "slowest_ratio": slowest, "target": TARGET, **threads, "rows": rows}
    given.output.write_text(json.dumps({**result, "opencv": cv2.__version__, **provenance()}, indent=1) + "\n")
    Console().print(shown)
    print(f"array: at most {slowest:.2f} times warpPolar's time (target {TARGET}); written to {given.output}")


if __name__ == "__main__":
    main()
