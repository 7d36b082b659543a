"""Published peers beside saccade's own selection: same model, pages and questions, one run.

    python -m tests.benchmarks.peers                     # 512-px pages, about 300 questions; quiet machine
    python -m tests.benchmarks.peers --pages 1           # does it run

FastV and PyramidDrop are shown every token and drop inside the decoder; HiRED and pooling drop behind the tower; the
last rows select 273 tokens first and drop those inside the decoder. One look each, so that prompts are comparable.
`tokens` entered the language model, `effective` are those that a layer of it saw on average. Differences in ANLS are to
`full`, with intervals that resample pages; seconds are of a page to encode (mean) and of a question to read (median).
Writes results/peers.json beside this file.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF, HFEngine
from saccade.episode import episodes, run, see
from saccade.metrics.anls import anls
from saccade.metrics.bootstrap import bootstrap_difference, bootstrap_mean
from saccade.reduction import Reduction
from saccade.reduction._drop import Drop
from saccade.reduction.fastv import FastV
from saccade.reduction.hired import HiRED
from saccade.reduction.pooling import Pooling
from saccade.reduction.pyramiddrop import PyramidDrop
from saccade.types import Sample, Trace

FULL = Episode(sampler="full", fixations=1)
FEW = Episode(fixations=1, budget={"name": "fixed", "tokens": 273})
WAYS: dict[str, tuple[Episode, Reduction | None]] = {
    "full": (FULL, None),
    "resize@273": (FEW.with_settings(sampler="resize"), None),
    "random@273": (FEW.with_settings(sampler="random"), None),
    "FastV, K=2, 1/2": (FULL, FastV()),
    "FastV, K=2, 1/4": (FULL, FastV(keep=0.25)),
    "PyramidDrop": (FULL, PyramidDrop()),
    "HiRED@273": (FULL, HiRED(keep=273)),
    "pooling 2 x 2": (FULL, Pooling()),
    "hybrid@273": (FEW, None),
    "hybrid@273 + FastV": (FEW, FastV()),
    "hybrid@273 + PyramidDrop": (FEW, PyramidDrop()),
}


def looked(engine: HFEngine, samples: Sequence[Sample], settings: Episode) -> list[Any]:
    """The outcome of every question, each on a canvas that nobody has read before; a page is encoded once."""
    outcomes = []
    for sample in samples:
        for flow in episodes(settings, see(settings, engine, sample.picture, sample.questions)):
            engine.forget()
            outcomes += run([flow], engine)
    return outcomes


def row(engine: HFEngine, drop: Drop | None, samples: Sequence[Sample], outcomes: Sequence[Any]) -> dict[str, Any]:
    """What one way got and cost, and its score of every question."""
    questions = [question for sample in samples for question in sample.questions]
    traces = [outcome for outcome in outcomes if isinstance(outcome, Trace)]
    layers = len(engine.family.language_model.layers)
    tokens = [trace.cost.visual_tok for trace in traces]
    return {
        "scores": [
            anls(outcome.answer.text if isinstance(outcome, Trace) else "", question.answers)
            for question, outcome in zip(questions, outcomes, strict=True)
        ],
        "tokens": statistics.mean(tokens),
        "effective": statistics.mean(drop.effective_tok(layers, n) if drop else n for n in tokens),
        "prefill_tok": statistics.mean(trace.cost.prefill_tok for trace in traces),
        "encode_s": sum(trace.cost.seconds["encode"] for trace in traces) / len(samples),  # a page
        "read_s": statistics.median(trace.cost.seconds["read"] for trace in traces),
        "errors": len(outcomes) - len(traces),
    }


def measured(engine: HFEngine, samples: Sequence[Sample]) -> dict[str, Any]:
    """Every way on every question; the engine's weights are the same for all, its caches do not mix."""
    measures: dict[str, Any] = {}
    fingerprint = engine.family.fingerprint
    for name, (settings, reduction) in WAYS.items():
        engine.drop = reduction if isinstance(reduction, Drop) else None
        engine.family.reduction = None if isinstance(reduction, Drop) else reduction
        engine.family.fingerprint = f"{fingerprint}-{name}"
        measures[name] = row(engine, engine.drop, samples, looked(engine, samples, settings))
    pages = [sample.image_id for sample in samples for _ in sample.questions]
    for way in measures.values():
        mean, against = bootstrap_mean(way["scores"], pages), None
        if way is not measures["full"]:
            against = bootstrap_difference(way["scores"], measures["full"]["scores"], pages)
        way |= {"anls": mean and asdict(mean), "difference": against and asdict(against)}
    for way in measures.values():
        del way["scores"]
    return measures


def main() -> None:
    """Measures, prints, writes the results file (only with the default number of pages)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=38, help="pages of 8 questions")
    parser.add_argument("--page-px", type=int, default=512, help="longer side of a page")
    given = parser.parse_args()
    dataset = SynthDoc(page_px=given.page_px, num_pages=given.pages, questions_per_page=8, seed=5)
    samples = [dataset.sample(entry) for entry in dataset.rows() if isinstance(entry, Row)]
    with HF(device="cpu", dtype="float32").open() as engine:
        measures = measured(engine, samples)
    table = Table("way", "ANLS [95 %]", "difference to full", "tokens", "effective", "prefill", "encode s", "read s")
    for name, way in measures.items():
        cells = [f"{way[key]:.0f}" for key in ("tokens", "effective", "prefill_tok")]
        times = [f"{way[key]:.3f}" for key in ("encode_s", "read_s")]
        shown = name.replace(" ", "\N{NO-BREAK SPACE}")
        table.add_row(shown, interval(way["anls"]), interval(way["difference"]), *cells, *times)
    Console().print(table)
    if given.pages == parser.get_default("pages"):
        result = {"pages": len(samples), "page_px": given.page_px, "ways": measures, **provenance()}
        path = Path(__file__).parent / "results" / "peers.json"
        path.write_text(json.dumps(result, indent=1) + "\n")


def interval(mean: dict[str, Any] | None) -> str:
    """`0.57 [0.50, 0.64]`; no bounds from a single page."""
    if mean is None:
        return ""
    bounds = "" if mean["low"] is None else f" [{mean['low']:.2f}, {mean['high']:.2f}]"
    return f"{mean['mean']:.2f}{bounds}"


if __name__ == "__main__":
    main()
