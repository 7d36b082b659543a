"""Answers right per second: ANLS against questions per second of every way to show a page, one model, one run.

    python -m tests.benchmarks.pareto                                  # about 300 questions on generated pages
    python -m tests.benchmarks.pareto --dataset questions.jsonl        # a data set of one's own, with answers
    python -m tests.benchmarks.pareto --pages 1                        # does it run

Each page is asked all its questions (`eight`), then only its first (`one`), by every way in turn, so that what else the
machine does meets all of them alike. Seconds are of the wall clock, from the decoded picture to the last answer;
nothing is kept from way to way. Differences in ANLS are to `full`, with intervals that resample pages. Writes
results/pareto.json beside this file and draws .assets/pareto.png; for another data set results/pareto-NAME.json.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.config import Episode
from saccade.datasets import Row, open_dataset
from saccade.engines.hf import HF, HFEngine
from saccade.episode import episodes, run, see
from saccade.metrics.anls import anls
from saccade.metrics.bootstrap import bootstrap_difference, bootstrap_mean
from saccade.types import Sample, Trace
from saccade.viz.charts import MARKS, SMALL, chart, dress
from saccade.viz.lettering import font
from saccade.viz.pixels import COLOURS


def resized(tokens: int, **settings: Any) -> Episode:
    """The page shrunk to so many tokens."""
    return Episode(sampler="resize", fixations=1, budget={"name": "fixed", "tokens": tokens}, **settings)


def gazes(tokens: int, **settings: Any) -> Episode:
    """Three looks of so many tokens, those nearest to where the checkpoint's own gaze goes."""
    budget = {"name": "fixed", "tokens": tokens}
    return Episode(fixations=3, scorer="late", sampler="topk", fovea=3, budget=budget, **settings)


def small_first(tokens: int, stop_at: float) -> Episode:
    """The page shrunk to so many tokens; who is unsure of it is shown its ink; the surer of the two answers."""
    return Episode(glimpse=tokens, fixations=0, rest="all", encoder="ink", integrate="confident", stop_at=stop_at)


def again(stop_at: float) -> Episode:
    """The default; who is less sure is shown the page at 1.5 times the size as well, on a canvas of its own."""
    return Episode(print_px=8, reread=1.5, stop_at=stop_at)


WAYS: dict[str, Episode] = {
    "full": Episode(sampler="full"),
    "ink": Episode(print_px=0),
    **{f"ink, print of {px} px": Episode(print_px=px) for px in (6, 7, 8, 10, 12)},
    "full, print of 8 px": Episode(sampler="full", print_px=8),
    **{f"resize@{tokens}": resized(tokens) for tokens in (128, 273, 546, 819, 1638)},
    **{f"ink of resize@{tokens}": resized(tokens, encoder="ink") for tokens in (819, 1638)},
    "random@819": Episode(sampler="random"),
    "looks, 3 x 273": Episode(fixations=3),
    "looks, 3 x 273, of ink": Episode(fixations=3, encoder="ink"),
    "looks, 3 x 111, print of 8 px": gazes(111, print_px=8, encoder="ink"),
    **{f"resize@819, then ink below {at}": small_first(819, at) for at in (0.5, 0.7, 0.8, 0.9)},
    **{f"ink, print of 8 px, again below {at}": again(at) for at in (0.5, 0.7, 0.9)},
}


SHOWN = (
    "full", "ink", "ink, print of 7 px", "ink, print of 8 px", "ink, print of 10 px", "full, print of 8 px",
    "resize@273", "resize@819", "resize@1638", "ink of resize@819", "ink of resize@1638", "random@819",
    "looks, 3 x 273", "looks, 3 x 111, print of 8 px", "resize@819, then ink below 0.8",
    "ink, print of 8 px, again below 0.9",
)  # fmt: skip
"""Those in the table of the README; all of them are in the file and in the picture."""


def timed(engine: HFEngine, settings: Episode, sample: Sample) -> tuple[float, list[Any]]:
    """Seconds of one page and its questions, and their outcomes."""
    engine.forget()
    started = time.perf_counter()
    outcomes = run(episodes(settings, see(settings, engine, sample.picture, sample.questions)), engine)
    return time.perf_counter() - started, outcomes


def measured(engine: HFEngine, samples: Sequence[Sample], ways: Mapping[str, Episode]) -> dict[str, Any]:
    """What every way got and cost."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    outcomes: dict[str, list[Any]] = {name: [] for name in ways}
    for sample in track(samples, "pages"):
        _ = sample.picture.rgb  # decoded before the clock runs
        for name, settings in ways.items():
            spent, answered = timed(engine, settings, sample)
            seconds[name].append(spent)
            outcomes[name] += answered
    pages = [sample.image_id for sample in samples for _ in sample.questions]
    questions = [question for sample in samples for question in sample.questions]
    scores = {
        name: [
            anls(outcome.answer.text if isinstance(outcome, Trace) else "", question.answers) or 0.0
            for question, outcome in zip(questions, answered, strict=True)
        ]
        for name, answered in outcomes.items()
    }
    measures = {}
    for name in ways:
        traces = [outcome for outcome in outcomes[name] if isinstance(outcome, Trace)]
        mean, against = bootstrap_mean(scores[name], pages), None
        if name != "full" and "full" in ways:
            against = bootstrap_difference(scores[name], scores["full"], pages)
        measures[name] = {
            "anls": mean and asdict(mean),
            "difference": against and asdict(against),
            "questions_per_s": len(questions) / sum(seconds[name]),
            "right_per_s": sum(scores[name]) / sum(seconds[name]),
            "tokens": statistics.mean(trace.cost.visual_tok for trace in traces),
            "prefill_tok": statistics.mean(trace.cost.prefill_tok for trace in traces),
            "encoder_passes": sum(trace.cost.encoder_passes for trace in traces) / len(samples),
            "first_step": statistics.mean(len(trace.steps) == 1 for trace in traces),
            "errors": len(questions) - len(traces),
        }
    return measures


def markdown(result: Mapping[str, Any]) -> str:
    """The table of the README: questions about a page together, and one alone."""
    lines = [
        "|  | ANLS [95 %] | questions/s | right/s | tokens | encoder | questions/s, one per page |",
        "|---" * 7 + "|",
    ]
    for name in (name for name in SHOWN if name in result["eight"]):
        way = result["eight"][name]
        mean = way["anls"]
        alone = result["one"][name]["questions_per_s"]
        lines.append(
            f"| {name} | {mean['mean']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}] | {way['questions_per_s']:.1f} | "
            f"{way['right_per_s']:.1f} | {way['tokens']:.0f} | {way['encoder_passes']:.2f} | {alone:.1f} |"
        )
    return "\n".join(lines) + "\n"


HEADLINE = {
    "full": "the whole page",
    "resize@819": "resized to 819 tokens",
    "resize@1638": "resized to 1,638 tokens",
    "ink of resize@819": "resized to 819 tokens, without its blank paper",
    "ink": "without its blank paper",
    "ink, print of 8 px": "**the default: print of 8 px, without blank paper**",
    "ink, print of 10 px": "print of 10 px, without blank paper (`--print-px 10`)",
    "ink, print of 8 px, again below 0.9": "the default, again and larger where it is unsure (`--effort high`)",
}
"""The ways that the README opens with, in its words."""


def headline(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The README's first table: ANLS, seconds per question and right answers per second, for each data set by name."""
    heads = [f"{data}: ANLS [95 %] | s per question | right/s" for data in results]
    lines = [f"| what is shown | {' | '.join(heads)} |", "|---" * (1 + 3 * len(results)) + "|"]
    for name, words in HEADLINE.items():
        cells = [words]
        for result in results.values():
            way = result["eight"][name]
            cells.append("{mean:.2f} [{low:.2f}, {high:.2f}]".format(**way["anls"]))
            cells += [f"{1 / way['questions_per_s']:.3f}", f"{way['right_per_s']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


PICTURE = Path(__file__).parents[2] / ".assets" / "pareto.png"
LINES = {
    "ink": ("ink", *(f"ink, print of {px} px" for px in (12, 10, 8, 7, 6))),
    "ink, again": tuple(f"ink, print of 8 px, again below {at}" for at in (0.5, 0.7, 0.9)),
    "resize": tuple(f"resize@{tokens}" for tokens in (1638, 819, 546, 273, 128)),
    "ink of resize": ("ink of resize@1638", "ink of resize@819"),
    "small, then ink": tuple(f"resize@819, then ink below {at}" for at in (0.9, 0.8, 0.7, 0.5)),
    "looks": ("looks, 3 x 273", "looks, 3 x 273, of ink", "looks, 3 x 111, print of 8 px"),
    "full": ("full", "full, print of 8 px"),
    "random": ("random@819",),
}
"""Ways that are points of one line of the picture, and its name."""
NAMED = {
    **{f"ink, print of {px} px": f"{px} px" for px in (6, 8)},
    "ink, print of 8 px, again below 0.9": "below 0.9",
    **{f"resize@{tokens}": str(tokens) for tokens in (128, 273, 546, 819, 1638)},
    "looks, 3 x 273": "3 x 273",
    "looks, 3 x 273, of ink": "3 x 273, of ink",
    "full, print of 8 px": "8 px",
    "random@819": "819",
}
"""Points that have a name beside them; more would stand on one another."""


def picture(result: Mapping[str, Any]) -> Figure:
    """ANLS against questions per second, eight questions per page: up and to the right is better."""
    figure = chart(7.4, 4.4)
    axes = dress(figure.add_subplot(), "Answers per second, and how good", "questions per second", "ANLS")
    axes.set_xscale("log")
    for number, (label, names) in enumerate(LINES.items()):
        ways = {name: result["eight"][name] for name in names if name in result["eight"]}
        at = [way["questions_per_s"] for way in ways.values()], [way["anls"]["mean"] for way in ways.values()]
        style = {"marker": MARKS[number], "markersize": 5, "linewidth": 1.2, "color": COLOURS[number], "label": label}
        axes.plot(*at, **style)
        for name, x, y in zip(ways, *at, strict=True):
            if name in NAMED:
                told = {"xytext": (5, 5), "textcoords": "offset points", "font": font(SMALL - 1)}
                axes.annotate(NAMED[name], (x, y), color=COLOURS[number], **told)
    ticks = [3, 10, 30, 100]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_ylim(0, 1)
    axes.legend(prop=font(SMALL), frameon=False, loc="lower left")
    return figure


def main() -> None:
    """Measures, prints, writes the results file (only with the default number of pages)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="synthdoc", help="name or path")
    parser.add_argument("--pages", type=int, default=38, help="at most")
    parser.add_argument("--page-px", type=int, default=1024, help="longer side of generated pages")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--ways", default=";".join(WAYS), help="some of them, separated by semicolons")
    given = parser.parse_args()
    ways = {name: WAYS[name] for name in given.ways.split(";")}
    own = {"page_px": given.page_px, "num_pages": given.pages} if given.dataset.startswith("synthdoc") else {}
    dataset = open_dataset(given.dataset, **own)
    listed = [entry for entry in dataset.rows() if isinstance(entry, Row)][: given.pages]
    samples = [dataset.sample(entry) for entry in listed]
    with HF(model=given.model, device="cpu", dtype="float32").open() as engine:
        result: dict[str, Any] = {
            "dataset": {**own, "name": "/".join(Path(given.dataset).parts[-2:])},
            "pages": len(samples),
            "questions": sum(len(sample.questions) for sample in samples),
            "eight": measured(engine, samples, ways),
            "one": measured(engine, [replace(sample, questions=sample.questions[:1]) for sample in samples], ways),
            **provenance(),
        }
    table = Table("way", "ANLS", "questions/s", "right/s", "tokens", "prefill", "encoder", "after one step", "one: q/s")
    for name, way in result["eight"].items():
        keys = ("questions_per_s", "right_per_s", "tokens", "prefill_tok", "encoder_passes", "first_step")
        alone = result["one"][name]["questions_per_s"]
        table.add_row(name, f"{way['anls']['mean']:.3f}", *(f"{way[key]:.2f}" for key in keys), f"{alone:.2f}")
    Console(width=140).print(table)
    if given.pages == parser.get_default("pages") and (ways == WAYS or not own):
        name = "pareto" if given.dataset == "synthdoc" else f"pareto-{Path(given.dataset).parent.name}"
        path = Path(__file__).parent / "results" / f"{name}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        if ways == WAYS and own:
            picture(result).savefig(PICTURE)


if __name__ == "__main__":
    main()
