"""What the Ray graph costs: images a second of `saccade batch` over those of a plain loop, same images, one run.

    python -m tests.benchmarks.graph_throughput

Loop, graph, loop: the loop's two rates bound how steady the machine was. Loading the model and starting Ray are not
counted on either side. Writes results/graph_throughput.json beside this file.
"""

import json
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console

from pipelines.execute.run import batch
from pipelines.runs.config import RunConfig
from pipelines.runs.provenance import provenance
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.eye import Eye
from saccade.machine import num_cpus

IMAGES, QUESTIONS = 64, 4
DATASET = SynthDoc(page_px=512, num_pages=IMAGES, questions_per_page=QUESTIONS)
EPISODE = Episode(fixations=3, stop_at=2)


def loop() -> float:
    """Images a second of `Eye.outcomes` in a for-loop, all cores."""
    torch.set_num_threads(num_cpus())
    rows = [row for row in DATASET.rows() if isinstance(row, Row)]
    with HF().open() as engine:
        eye = Eye(engine, EPISODE)
        eye.outcomes(DATASET.sample(rows[0]).picture, rows[0].questions)  # warm
        started = time.perf_counter()
        for row in rows:
            sample = DATASET.sample(row)
            eye.outcomes(sample.picture, sample.questions)
        return len(rows) / (time.perf_counter() - started)


def graph() -> float:
    """Images a second of the graph, as its summary reports it."""
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(dataset=DATASET.spec(), output=Path(folder) / "run", episode=EPISODE)
        return float(batch(config, Console(quiet=True))["images_per_s"])


def main() -> None:
    """Measures, prints, writes the results file."""
    before, inside, after = loop(), graph(), loop()
    result = {
        "images": IMAGES,
        "questions_per_image": QUESTIONS,
        "loop_images_per_s": [before, after],
        "graph_images_per_s": inside,
        "ratio": inside / ((before + after) / 2),
        "cores": num_cpus(),
        **provenance(),
    }
    path = Path(__file__).parent / "results" / "graph_throughput.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
