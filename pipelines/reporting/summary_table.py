"""The output at the end of `saccade batch`: the first answers, and the table of the run's summary."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from saccade.metrics.bootstrap import bounded
from saccade.wording import counted


def table(summary: Mapping[str, Any]) -> Table:
    """The summary as a table of measures and values, with its errors."""
    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_column(style="bold")
    rows.add_column(overflow="fold")
    for name, value in facts(summary):
        rows.add_row(name, Text(value))
    for reason, times in summary["errors_by_reason"].items():
        rows.add_row("", Text.assemble((f"{times} x", "red"), f" {reason}"))
    for reason, times in summary["skipped"].items():
        rows.add_row("skipped", Text(f"{times} x {reason} (listed in .saccade/skipped.jsonl)"))
    return rows


def answers(rows: Iterable[Mapping[str, Any]]) -> Table:
    """A table of answers: question, answer, confidence, and score where the right answer is known."""
    listing = Table(box=None, pad_edge=False)
    for head in ("question", "answer", "sure", "right"):
        listing.add_column(head, justify="right" if head in ("sure", "right") else "left", overflow="fold")
    for row in rows:
        if row["error"]:
            listing.add_row(Text(row["question"]), Text(row["error"], style="red"), "", "")
            continue
        answer = Text(row["answer"]) if row["answer"] else Text("cannot read", style="dim")
        right = "" if row["score"] is None else f"{row['score']:.2f}"
        listing.add_row(Text(row["question"]), answer, f"{row['confidence']:.2f}", right)
    return listing


def facts(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(measure, value with its interval or spread); the number of errors without their reasons."""
    tok, looks = summary["visual_tok"], summary["fixations"]
    yield "questions", f"{summary['questions']:,} on {counted(summary['images'], 'image')}"
    yield summary.get("metric", "ANLS"), _interval(summary.get("score", summary.get("anls")))  # `anls`: an older run
    yield "exact match", _interval(summary["exact"])
    if "sure" in summary:
        sure = summary["sure"]
        score = "" if sure["score"] is None else f", {summary['metric']} {_interval(sure['score'])}"
        yield f"at least {sure['at']:g} sure", f"{sure['answers']:,} of {counted(summary['answered'], 'answer')}{score}"
    if summary["coverage"] is not None:
        yield "answer boxes covered", _interval(summary["coverage"])
    if summary.get("shrunk", {}).get("images"):
        small = summary["shrunk"]
        images = counted(small["images"], "image")
        yield "shown smaller", f"{images}, to {small['side']:.0%} of the sides (--print-px, --max-px)"
    if tok is not None:
        yield "visual tokens", f"min {tok['min']}, mean {tok['mean']:.0f}, max {tok['max']} per question"
        spread = ", ".join(f"{times} x {count}" for count, times in looks["counts"].items())
        yield "fixations used", f"mean {looks['mean']:.2f} (questions x fixations: {spread})"
        passes = summary["encoder_passes_per_image"]
        yield "encoder patches", f"{summary['encoder_patches_per_image']:.0f} per image ({passes:.2f} full passes)"
        yield "prefilled tokens", f"{summary['prefill_tok']} ({summary['cached_share']:.0%} of prompts cached)"
    if summary["images_per_s"]:
        yield "speed", f"{summary['images_per_s']:.2f} images/s, {summary['seconds']:.0f} s after start-up"
    yield "errors", str(summary["errors"]) if summary["errors"] else "none"


def _interval(interval: Mapping[str, Any] | None) -> str:
    """The mean with its 95 % interval and n, or why there is none."""
    if interval is None:
        return "not scored (no answers given)"
    bounds = "" if not bounded(interval) else f" [{interval['low']:.3f}, {interval['high']:.3f}]"
    return f"{interval['mean']:.3f}{bounds}, n = {interval['num_questions']}"
