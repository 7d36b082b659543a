"""Milliseconds an image of every scorer, one image at a time and 64 at once, 4,096 tokens each.

    python -m tests.benchmarks.scorers

Random tokens of 512 values, features of 4 x 256, questions of 24 words, pictures of 28 px a token (1792 x 1792 px),
one thread a core. Pictures are decoded beforehand; what `edges` remembers of them is forgotten each time. Batches of
one are timed over 64 different images too, so that both read as much memory, and the two take turns; the number is
the least of the repetitions. The trained scorers have untrained weights. Writes results/scorers.json beside this file.
`--tokens`, `--batch` and `--repeat` make it smaller.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.importance import Scorer
from saccade.importance.edges import _POOLED
from saccade.types import Scene
from tests.importance.variants import images_of, scene, variants

SLOW_S = 20.0  # a batch that takes longer is timed once


def seconds_of(work: Callable[[], object]) -> float:
    """Of one call, with nothing remembered of any picture."""
    _POOLED.clear()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(scorer: Scorer, whole: Scene, single: Sequence[Scene], repeat: int) -> dict[str, float]:
    """Milliseconds an image at batch 1 and at the batch of `whole`, and their ratio."""
    scorer(single[0])  # warm
    alone, together = [], []
    for _ in range(repeat):
        alone.append(seconds_of(lambda: [scorer(one) for one in single]))
        together.append(seconds_of(lambda: scorer(whole)))
        if together[-1] > SLOW_S:
            break
    one, many = (1e3 * min(times) / len(single) for times in (alone, together))
    return {"batch_1_ms": one, "batch_ms": many, "ratio": many / one}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, writes the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4096, help="a square number")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "scorers.json")
    given = parser.parse_args(argv)
    torch.set_num_threads(os.cpu_count() or 1)
    side = math.isqrt(given.tokens)
    whole = scene(side, side, given.batch)
    single = images_of(whole)
    with tempfile.TemporaryDirectory() as folder:
        table = {name: measure(scorer, whole, single, given.repeat) for name, scorer in variants(Path(folder)).items()}
    result = {"tokens": side**2, "batch": given.batch, "scorers": table, "cores": os.cpu_count(), **provenance()}
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    shown = Table("scorer", "ms an image, batch 1", f"batch {given.batch}", "ratio", title=str(result["processor"]))
    for name, row in sorted(table.items(), key=lambda item: item[1]["batch_1_ms"]):
        shown.add_row(name, f"{row['batch_1_ms']:.2f}", f"{row['batch_ms']:.2f}", f"{row['ratio']:.2f}")
    Console().print(shown)
    return result


if __name__ == "__main__":
    main()
