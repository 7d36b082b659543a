"""What ToMe saves and costs: the bundled model's encoder time and answers against r, and the speed of plain ViTs.

    python -m tests.benchmarks.tome                       # 1024-px pages, about 100 questions; quiet machine
    python -m tests.benchmarks.tome --pages 1 --vit-layers 1 --repeats 1      # does it run

Encoder: each page is encoded with every r in turn, `--repeats` times over; the median of the fastest times, and its
ratio to the untouched tower. `loop` is saccade's own loop over the tower's blocks with nothing merged.
Answers: all tokens that are left, and the default looks (3 x 273), both on the same questions; differences to the
untouched tower with intervals that resample pages. It pays up to the r with which the tower is fastest, or up to the
last r before answers are surely worse, whichever comes first; the file says both.
ViTs: random weights of the shapes of ToMe's tables, 224-px images. Writes results/tome.json beside this file.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.api import Eye
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF, HFEngine
from saccade.families._vit import SHAPES, encode
from saccade.metrics.anls import anls
from saccade.metrics.bootstrap import bootstrap_difference, bootstrap_mean
from saccade.reduction import Reduction
from saccade.reduction.tome import ToMe
from saccade.types import Sample, Trace

RS = (32, 64, 128, 192, 256, 384, 512)  # of some 3,100 to 4,096 tokens, in each of nano's five blocks
VIT_RS = (0, 4, 8, 13, 16)
WAYS = {
    "full": Episode(sampler="full"),
    "3 x 273": Episode(fixations=3, budget={"name": "fixed", "tokens": 273}, stop_at=2),
}


def put(engine: HFEngine, reduction: Reduction | None, name: str) -> None:
    """The open engine with another reduction: the same weights for all, and caches that do not mix."""
    engine.family.reduction, engine.family.fingerprint = reduction, name
    engine.forget()


def encoder_times(engine: HFEngine, ways: dict[str, Reduction | None], samples: Sequence[Sample], repeats: int) -> Any:
    """Median over pages of the best time of each way, and the tokens it leaves."""
    prepared = [engine.prepare(sample.picture) for sample in samples]
    best = {name: [float("inf")] * len(prepared) for name in ways}
    left: dict[str, list[int]] = {name: [0] * len(prepared) for name in ways}
    for _ in range(repeats):
        for number, item in enumerate(prepared):
            for name, reduction in ways.items():
                put(engine, reduction, name)
                started = time.perf_counter()
                (encoding,) = engine.encode([item])
                best[name][number] = min(best[name][number], time.perf_counter() - started)
                left[name][number] = len(encoding)
    return {
        name: {
            "seconds": statistics.median(best[name]),
            "ratio": statistics.median(a / b for a, b in zip(best[name], best["untouched"], strict=True)),
            "tokens": statistics.mean(left[name]),
        }
        for name in ways
    }


def answers(engine: HFEngine, ways: dict[str, Reduction | None], samples: Sequence[Sample]) -> dict[str, Any]:
    """ANLS of each way of looking with each reduction, and the difference to the untouched tower."""
    pages = [sample.image_id for sample in samples for _ in sample.questions]
    scores: dict[str, dict[str, list[float | None]]] = {name: {} for name in ways}
    for name, reduction in ways.items():
        put(engine, reduction, name)
        for look, settings in WAYS.items():
            eye = Eye(engine, settings)
            scores[name][look] = [
                anls(outcome.answer.text if isinstance(outcome, Trace) else "", question.answers)
                for sample in samples
                for question, outcome in zip(
                    sample.questions, eye.outcomes(sample.picture, sample.questions), strict=True
                )
            ]
    measures: dict[str, Any] = {}
    for name, looks in scores.items():
        measures[name] = {}
        for look, look_scores in looks.items():
            against = bootstrap_difference(look_scores, scores["untouched"][look], pages)
            mean = bootstrap_mean(look_scores, pages)
            measures[name][look] = {"anls": mean and asdict(mean), "difference": against and asdict(against)}
    return measures


def pays_up_to(times: dict[str, Any], read: dict[str, Any]) -> dict[str, int]:
    """The r with which the tower is fastest, and the last one with which no way of looking is surely worse."""
    fastest = min(RS, key=lambda r: times[f"r={r}"]["seconds"])
    harmless = 0
    for r in RS:
        differences = [look["difference"] for look in read[f"r={r}"].values()]
        if any(each is None or each["high"] is None or each["high"] < 0 for each in differences):
            break
        harmless = r
    return {"fastest": fastest, "not_surely_worse": harmless, "pays": min(fastest, harmless)}


def vits(layers: int | None, images: int, repeats: int) -> dict[str, Any]:
    """Images a second with each r; `layers` cuts the towers short, for a trial."""
    from transformers import ViTConfig, ViTModel  # after saccade.families, which repairs a torchvision of another torch

    measures: dict[str, Any] = {}
    for name, shape in SHAPES.items():
        config = ViTConfig(**{**shape, **({"num_hidden_layers": layers} if layers else {})})
        torch.manual_seed(0)
        model = ViTModel(config, add_pooling_layer=False).eval()
        pixels = torch.randn(images, 3, 224, 224)
        best = dict.fromkeys(VIT_RS, float("inf"))
        with torch.inference_mode():
            for _ in range(repeats):
                for r in VIT_RS:
                    started = time.perf_counter()
                    encode(model, pixels, ToMe(r=r))
                    best[r] = min(best[r], time.perf_counter() - started)
        measures[name] = {
            f"r={r}": {"images_per_s": images / best[r], "times": best[0] / best[r], "layers": config.num_hidden_layers}
            for r in VIT_RS
        }
    return measures


def show(result: dict[str, Any]) -> None:
    """The tables."""
    shown = Table("", "tokens", "encoder s", "of untouched", *(f"ANLS {look}" for look in WAYS))
    for name, row in result["encoder"].items():
        read = result["answers"].get(name)
        scores = ["-" if read is None else f"{read[look]['anls']['mean']:.3f}" for look in WAYS]
        shown.add_row(name, f"{row['tokens']:.0f}", f"{row['seconds']:.2f}", f"{row['ratio']:.2f}", *scores)
    Console().print(shown)
    towers = Table("images/s", *(f"r={r}" for r in VIT_RS))
    for name, row in result["vits"].items():
        towers.add_row(name, *(f"{each['images_per_s']:.1f} ({each['times']:.2f}x)" for each in row.values()))
    Console().print(towers)
    Console().print(result["pays_up_to"])


def main() -> None:
    """Measures, prints, writes the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=13)
    parser.add_argument("--page-px", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vit-layers", type=int, default=None)
    parser.add_argument("--vit-images", type=int, default=8)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "tome.json")
    given = parser.parse_args()
    dataset = SynthDoc(page_px=given.page_px, num_pages=given.pages, questions_per_page=8, seed=3)
    samples = [dataset.sample(row) for row in dataset.rows() if isinstance(row, Row)]
    ways: dict[str, Reduction | None] = {"untouched": None} | {f"r={r}": ToMe(r=r) for r in RS}
    with HF(model="nano").open() as engine:
        times = encoder_times(engine, {**ways, "loop": Reduction()}, samples, given.repeats)
        read = answers(engine, ways, samples)
    result = {
        "pages": len(samples),
        "questions": sum(len(sample.questions) for sample in samples),
        "page_px": given.page_px,
        "threads": torch.get_num_threads(),
        "encoder": times,
        "answers": read,
        "pays_up_to": pays_up_to(times, read),
        "vits": vits(given.vit_layers, given.vit_images, given.repeats),
        **provenance(),
    }
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
