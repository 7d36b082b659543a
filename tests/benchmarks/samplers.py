"""What every sampler costs: milliseconds an image, 4,096 and 16,384 tokens to 273, one image at a time and 64 at once.

    python -m tests.benchmarks.samplers [NAME ...] [--repeats 5] [--threads 2]

Images are random but not noise: features vary smoothly, as wide as the bundled model's (256), a third of the tokens
are blank margin, all alike, and importance is high in a few places. A time is the median of `--repeats` calls after a
warm one; one at a time, eight images take turns, so that none is in the caches already. Building the scene is not
counted: episodes have it anyway. Writes results/samplers.json beside this file, unless names were given.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.geometry.grid import plain_grid
from saccade.picture import Picture
from saccade.registry import load, names
from saccade.samplers import Sampler
from saccade.types import Encoding, Query, Scene

KEEP, WIDTH = 273, 256
SIDES = (64, 128)  # 4,096 and 16,384 tokens
BATCHES = (1, 64)
IMAGES = 8
SMOOTH = 8  # tokens over which features change


def encoding(side: int, seed: int) -> Encoding:
    """side x side tokens of smooth random features, a blank margin below."""
    make, coarse = torch.Generator().manual_seed(seed), side // SMOOTH
    field = torch.nn.functional.interpolate(
        torch.randn(1, WIDTH, coarse, coarse, generator=make), size=(side, side), mode="bicubic"
    )
    tokens = field[0].flatten(1).T + 0.3 * torch.randn(side * side, WIDTH, generator=make)
    tokens[-side * side // 3 :] = torch.randn(WIDTH, generator=make)
    received = torch.rand(side * side, generator=make)
    grid = plain_grid(side, side, side * 16, side * 16)
    return Encoding(tokens.contiguous(), torch.zeros(side * side, 1, 1), received, grid, str(seed), "benchmark", 0)


def scene_of(side: int, num: int, first: int = 0) -> tuple[Scene, torch.Tensor, torch.Tensor]:
    """A batch, its importance (B, N) and its gazes (B, 2). Eight different images, repeated."""
    few = [encoding(side, first + seed) for seed in range(min(num, IMAGES))]
    words = Query("?", torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(0)), torch.ones(8))
    items = [
        (Picture.open(np.full((2, 2, 3), number, np.uint8)), few[number % len(few)], words) for number in range(num)
    ]
    scene = Scene.of(items)
    centre = torch.rand(num, 3, 2, generator=torch.Generator().manual_seed(1))
    far = torch.cdist(scene.centre_uv, centre).amin(-1)
    return scene, torch.exp(-20 * far.square()), centre[:, 0]


def measure(sampler: Sampler, side: int, num: int, repeats: int) -> float:
    """Milliseconds an image."""
    scenes = [scene_of(side, num, first) for first in (range(IMAGES) if num == 1 else [0])]
    seconds = []
    for scene, importance, gaze in [scenes[0], *scenes * repeats]:
        started = time.perf_counter()
        selections = sampler(scene, importance, gaze, KEEP)
        seconds.append(time.perf_counter() - started)
        assert all(len(selection) == KEEP for selection in selections)
    return 1e3 * statistics.median(seconds[1:]) / num


def variants(wanted: Sequence[str]) -> dict[str, Sampler]:
    """Every sampler with its defaults, the other kind of diversity beside."""
    samplers = {name: load("samplers", name, Sampler) for name in wanted or names("samplers")}
    if "diversity" in samplers:
        samplers["diversity, dpp"] = samplers["diversity"].with_settings(kind="dpp")
    return samplers


def main() -> None:
    """Measures, prints, writes the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="samplers; all of them by default")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sides", type=int, nargs="*", default=list(SIDES))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    table: dict[str, Any] = {}
    shown = Table(
        "sampler", *(f"{side**2:,}, batch {num}" for side in given.sides for num in BATCHES), title="ms/image"
    )
    for name, sampler in variants(given.names).items():
        cells = {
            f"{side**2}": {str(num): round(measure(sampler, side, num, given.repeats), 3) for num in BATCHES}
            for side in given.sides
        }
        table[name] = cells
        shown.add_row(name, *(f"{value:.2f}" for times in cells.values() for value in times.values()))
    Console().print(shown)
    result = {"keep": KEEP, "width": WIDTH, "threads": given.threads, "ms_per_image": table, **provenance()}
    if not given.names:
        path = Path(__file__).parent / "results" / "samplers.json"
        path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
