"""Results of an experiment as tables: cells for a page, and the Markdown that GitHub shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.runs import wrong_answers
from saccade.clock import STAGES
from saccade.metrics.bootstrap import interval_text
from saccade.wording import counted

MEASURED = {
    "s": ("seconds", 2),
    "p50 s": ("seconds_p50", 2),
    "p95 s": ("seconds_p95", 2),
    "right/s": ("right_per_s", 2),
    "peak MB": ("peak_mb", 0),
}
"""Columns that only some experiments have: the key in a variant's results, and digits."""
NOTES = {
    "seconds": "s: seconds per question; right/s: {metric} per second.",
    "seconds_p95": "p50 s, p95 s: half and 95 % of the questions took at most so long.",
    "peak_mb": "peak MB: most of tensors alive at once, without the weights.",
}


def to_markdown(results: Mapping[str, Any]) -> str:
    """The table as GitHub shows it, with n, seed and commit below; then stages, and why answers are wrong."""
    columns, rows = cells(results)
    text = [_table(columns, rows), "", f"{results.get('title', '')}: {footnote(results)}", ""]
    if stages := profile(results):
        text += [_table(*stages), "", "Milliseconds per question in each stage; `rest` is what no stage counts.", ""]
    if results.get("failures"):
        text += [wrong_answers.to_markdown(results["failures"])]
    return "\n".join(text)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def cells(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table as text: its columns, and one row per variant."""
    edges, entries = results["bins"], results["variants"].values()
    heads = [f"{low:g}-{high:g} px" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    groups = results.get("groups", [])
    trained = any("trained_pages" in entry for entry in entries)
    judged = any("verdict" in entry for entry in entries)
    spread = any(entry.get("spread") is not None for entry in entries)
    measured = {head: at for head, at in MEASURED.items() if all(at[0] in entry for entry in entries)}
    columns = [
        "",
        *(["trained on"] if trained else []),
        "tokens",
        f"{results['metric']} [95 %]",
        "difference [95 %]",
        *(["expected"] if judged else []),
    ]
    columns += ["exact", "coverage", *heads, *groups, *(["spread"] if spread else []), "looks", "prefill", "encoder"]
    rows = []
    for name, entry in results["variants"].items():
        row = [name, *([_pages(entry)] if trained else []), _number(entry["visual_tok"], 0)]
        row += [interval_text(entry["score"]), _difference(entry)]
        row += [_expected(entry)] if judged else []
        row += [_mean(entry["exact"]), _mean(entry["coverage"]), *map(interval_text, entry["bins"])]
        row += [interval_text(entry["groups"][group]) for group in groups]
        row += [_number(entry["spread"], 3)] if spread else []
        row += [_number(entry[key], digits) for key, digits in COSTS]
        row += [_number(entry[key], digits) for key, digits in measured.values()]
        rows.append(row)
    return [*columns, *measured], rows


COSTS = (("fixations", 1), ("prefill_tok", 0), ("encoder_passes", 2))


def profile(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """Milliseconds per question of each stage, one row per variant; None where the experiment has no profile."""
    if not (results.get("experiment") or {}).get("profile"):
        return None
    rows = []
    for name, entry in results["variants"].items():
        spent = [entry["stages"].get(stage) for stage in STAGES]
        rest = (entry["seconds"] or 0.0) - sum(seconds or 0.0 for seconds in spent)
        rows.append([name, *(_number(seconds and 1000 * seconds, 1) for seconds in spent), f"{1000 * rest:.1f}"])
    return ["", *STAGES, "rest"], rows


def footnote(results: Mapping[str, Any]) -> str:
    """What the numbers of the table are: n, seed, what the columns count, commit and processor."""
    first = next(iter(results["variants"].values()))
    sizes = [str(b["num_questions"] if b else 0) for b in first["bins"]]
    scored = first["score"] or {"num_questions": 0, "num_pages": 0, "num_resamples": 0, "seed": 0}
    metric, expects = results["metric"], (results.get("experiment") or {}).get("expects", "")
    notes = [note.format(metric=metric) + " " for key, note in NOTES.items() if key in first]
    return (
        f"n = {counted(scored['num_questions'], 'question')} on {counted(scored['num_pages'], 'page')}; "
        f"intervals: bootstrap over pages, {scored['num_resamples']} resamples, seed {scored['seed']}. "
        f"{_errors_note(results)}{_px_note(sizes, metric)}"
        "coverage: share of the answer box shown at full resolution. "
        "looks, prefill: fixations and prompt tokens computed, per question. encoder: passes per image, 1 = every "
        f"patch of the full view once. {''.join(notes)}{expects and f'Expected: {expects} '}"
        f"Commit {results.get('commit')}, {results.get('processor')}."
    )


def errors(results: Mapping[str, Any]) -> str:
    """How many answers of each variant are errors: `told 1, full 7`; empty where there are none."""
    entries = results["variants"].items()
    return ", ".join(f"{name} {entry['errors']}" for name, entry in entries if entry.get("errors"))


def _errors_note(results: Mapping[str, Any]) -> str:
    failed = errors(results)
    return f"errors, counted as wrong: {failed}. " if failed else ""


def _px_note(sizes: Sequence[str], metric: str) -> str:
    return f"Columns in px: {metric} by x-height ({', '.join(sizes)} questions). " if sizes else ""


def _difference(entry: Mapping[str, Any]) -> str:
    if not entry.get("difference"):
        return ""
    return f"{interval_text(entry['difference'], sign=True)} to {entry['against']}"


def _expected(entry: Mapping[str, Any]) -> str:
    return f"{entry['expected']:+.3g}: {entry['verdict']}" if "verdict" in entry else ""


def _pages(entry: Mapping[str, Any]) -> str:
    return counted(entry["trained_pages"], "page") if "trained_pages" in entry else "-"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _mean(interval: Mapping[str, Any] | None) -> str:
    return "-" if interval is None else f"{interval['mean']:.2f}"
