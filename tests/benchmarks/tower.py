"""How near the vision tower comes to the machine's own matrix products: whole pages, ink, and shrunk ones.

    python -m tests.benchmarks.tower
    python -m tests.benchmarks.tower --threads 1 --repeats 3     # does it run

Operations are counted from the checkpoint's widths (products of the blocks, attention to a window or to the page, the
merger); the machine's rate is that of a float32 product of the same rows and widths, measured in turn with each page.
Writes results/tower.json.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.config import Episode
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF, HFEngine
from saccade.episode import see
from saccade.picture import Picture
from saccade.types import Question

PAGES = 4
WAYS = {
    "full": Episode(sampler="full"),
    "ink": Episode(print_px=0),
    "resize@819": Episode(sampler="resize", fixations=1, budget={"name": "fixed", "tokens": 819}),
}


def operations(engine: HFEngine, cells: int) -> float:
    """Of one pass over so many cells of one page; a block without windows attends to all of them."""
    vision: Any = engine.family.model.config.vision_config
    width, hidden, depth = vision.hidden_size, vision.intermediate_size, vision.depth
    patches = cells * vision.spatial_merge_size**2
    window = min((vision.window_size // vision.patch_size) ** 2, patches)
    whole = len(vision.fullatt_block_indexes)
    products = depth * (8 * width**2 + 6 * width * hidden)
    attention = 4 * width * (whole * patches + (depth - whole) * window)
    return float(patches * (products + attention))


def seconds(work: Callable[[], Any]) -> float:
    """Of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measured(engine: HFEngine, settings: Episode, picture: Picture, repeats: int) -> dict[str, float]:
    """Operations per second of the tower and of one product as tall and as wide, in turn; medians."""
    prepared = see(settings, engine, picture, [Question("1", "Total?")])
    cells = len(prepared.grid)
    vision: Any = engine.family.model.config.vision_config
    left, right = torch.randn(cells, vision.hidden_size), torch.randn(vision.hidden_size, 4 * vision.hidden_size)
    product = 2 * left.shape[0] * right.shape[0] * right.shape[1]
    tower, gemm = [], []
    for _ in range(repeats):
        engine.forget()
        seen = see(settings, engine, picture, [Question("1", "Total?")])
        tower.append(seen.seconds)
        gemm.append(seconds(lambda: left @ right))
    rate, own = product / statistics.median(gemm), operations(engine, cells) / statistics.median(tower)
    return {"cells": cells, "seconds": statistics.median(tower), "rate": own, "product_rate": rate, "share": own / rate}


def main() -> None:
    """Measures, prints, writes the results file (only with the default number of repeats)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = SynthDoc(num_pages=PAGES)
    pictures = [data.picture(str(number)) for number in range(PAGES)]
    with HF(device="cpu", dtype="float32").open() as engine:
        pages = {name: [measured(engine, way, each, given.repeats) for each in pictures] for name, way in WAYS.items()}
    mean = {name: {key: statistics.mean(page[key] for page in each) for key in each[0]} for name, each in pages.items()}
    table = Table("way", "cells", "seconds", "GFLOP/s", "of a product's")
    for name, each in mean.items():
        rate = f"{each['rate'] / 1e9:.0f}"
        table.add_row(name, f"{each['cells']:.0f}", f"{each['seconds']:.3f}", rate, f"{each['share']:.2f}")
    Console(width=100).print(table)
    if given.repeats == parser.get_default("repeats"):
        result = {"threads": given.threads, "pages": PAGES, "ways": mean, **provenance()}
        (Path(__file__).parent / "results" / "tower.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
