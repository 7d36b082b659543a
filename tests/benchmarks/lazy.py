"""What encoding only the windows that are looked at saves and costs, for 1 to 5 fixations per question.

    python -m tests.benchmarks.lazy                                   # 40 pages of 1024 px; quiet machine
    python -m tests.benchmarks.lazy --pages 1 --page-px 512 --most 2   # does it run

The bundled model, the default looks, never stopping early; the same questions with `encoder` full and lazy, in turn.
Seconds and passes of the encoder are those charged to the trace: the coarse encoding that looks are planned on, and the
windows. Every question of a page is asked: with several of them windows are shared, and a full encoding is too. Answers
differ for two reasons, which are not told apart here: blocks without windows see less, and tokens are chosen among the
windows around the gazes only. Differences: intervals that resample pages. Writes results/lazy.json beside this file.
"""

import argparse
import json
import statistics
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
from saccade.metrics.anls import anls
from saccade.metrics.bootstrap import bootstrap_difference, bootstrap_mean
from saccade.metrics.coverage import coverage
from saccade.types import Sample, Trace

TOKENS = 273
ENCODERS = ("full", "lazy")


def measure(engine: HFEngine, samples: Sequence[Sample], fixations: int) -> dict[str, Any]:
    """Both encoders on all questions of all pages, with so many looks."""
    pages = [sample.image_id for sample in samples for _ in sample.questions]
    scores: dict[str, list[float | None]] = {name: [] for name in ENCODERS}
    shown: dict[str, list[float | None]] = {name: [] for name in ENCODERS}
    seconds: dict[str, list[float]] = {name: [] for name in ENCODERS}  # of a page, all its questions
    passes: dict[str, list[float]] = {name: [] for name in ENCODERS}
    for sample in samples:
        grid = engine.prepare(sample.picture).grid
        for name in ENCODERS:
            engine.forget()
            budget = {"name": "fixed", "tokens": TOKENS}
            settings = Episode(encoder=name, fixations=fixations, budget=budget, stop_at=2)
            outcomes = Eye(engine, settings).outcomes(sample.picture, sample.questions)
            traces = [outcome for outcome in outcomes if isinstance(outcome, Trace)]
            assert len(traces) == len(outcomes), outcomes
            for question, trace in zip(sample.questions, traces, strict=True):
                scores[name].append(anls(trace.answer.text, question.answers))
                shown[name].append(coverage(grid, trace.shown, question.answer_boxes_uv))
            seconds[name].append(sum(trace.cost.seconds["encode"] for trace in traces))
            passes[name].append(sum(trace.cost.encoder_passes for trace in traces))
    measures: dict[str, Any] = {}
    for name in ENCODERS:
        mean, cover = bootstrap_mean(scores[name], pages), bootstrap_mean(shown[name], pages)
        measures[name] = {
            "encoder_s": statistics.median(seconds[name]),
            "encoder_passes": statistics.mean(passes[name]),
            "anls": mean and asdict(mean),
            "coverage": cover and asdict(cover),
        }
    ratios = [lazy / full for lazy, full in zip(seconds["lazy"], seconds["full"], strict=True)]
    difference = bootstrap_difference(scores["lazy"], scores["full"], pages)
    measures["lazy"] |= {"of_full_time": statistics.median(ratios), "difference": difference and asdict(difference)}
    return measures


def show(result: dict[str, Any]) -> None:
    """The table."""
    shown = Table("fixations", "encoder", "encoder s", "passes", "ANLS", "coverage", "time of full", "ANLS - full")
    for fixations, row in result["fixations"].items():
        for name, each in row.items():
            against, apart = each.get("difference"), ""
            if against is not None:
                apart = f"{against['mean']:+.3f} [{_bound(against, 'low')}, {_bound(against, 'high')}]"
            shown.add_row(
                fixations,
                name,
                f"{each['encoder_s']:.2f}",
                f"{each['encoder_passes']:.2f}",
                f"{each['anls']['mean']:.3f}",
                "-" if each["coverage"] is None else f"{each['coverage']['mean']:.2f}",
                f"{each['of_full_time']:.2f}" if "of_full_time" in each else "",
                apart,
            )
    Console().print(shown)


def _bound(interval: dict[str, Any], end: str) -> str:
    return "-" if interval[end] is None else f"{interval[end]:+.3f}"


def main() -> None:
    """Measures, prints, writes the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--questions", type=int, default=1, help="a page")
    parser.add_argument("--page-px", type=int, default=1024)
    parser.add_argument("--most", type=int, default=5, help="fixations")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "lazy.json")
    given = parser.parse_args()
    dataset = SynthDoc(page_px=given.page_px, num_pages=given.pages, questions_per_page=given.questions, seed=3)
    samples = [dataset.sample(row) for row in dataset.rows() if isinstance(row, Row)]
    with HF(model="nano").open() as engine:
        measure(engine, samples[:1], 1)  # warm
        table = {str(fixations): measure(engine, samples, fixations) for fixations in range(1, given.most + 1)}
    result = {
        "pages": len(samples),
        "questions": sum(len(sample.questions) for sample in samples),
        "page_px": given.page_px,
        "tokens": TOKENS,
        "threads": torch.get_num_threads(),
        "fixations": table,
        **provenance(),
    }
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
