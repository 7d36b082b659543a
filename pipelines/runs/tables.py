"""Rows of an experiment to one table: means with intervals, paired differences, letter-height bins, costs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from saccade.metrics.bootstrap import Interval, bootstrap_difference, bootstrap_mean, interval_text
from saccade.metrics.scoring import title

STAGES = ("encode", "plan", "read")
COSTS = ("visual_tok", "prefill_tok", "fixations", "read_s", "plan_s")  # a question


def summarise(
    rows: Sequence[Mapping[str, Any]],
    variants: Sequence[str],
    against: Mapping[str, str],
    bins: Sequence[float],
    timed: bool = False,
) -> dict[str, Any]:
    """Per variant: score, exact match and coverage with 95 % intervals clustered by page, score per bin, mean costs.

    `timed`: seconds per question and right answers per second too, which only rows of variants that encoded for
    themselves can say.
    """
    by_variant = {name: {row["id"]: row for row in rows if row["variant"] == name} for name in variants}
    table: dict[str, Any] = {}
    for name, answered in by_variant.items():
        pages = [row["image_id"] for row in answered.values()]
        entry: dict[str, Any] = {"n": len(answered), "errors": sum("error" in row for row in answered.values())}
        for score in ("score", "exact", "coverage"):
            entry[score] = _dumped(bootstrap_mean([row.get(score) for row in answered.values()], pages))
        for cost in COSTS:
            values = [row[cost] for row in answered.values() if cost in row]
            entry[cost] = sum(values) / len(values) if values else None
        entry["encoder_passes"] = sum(row.get("encoder_passes", 0.0) for row in answered.values()) / max(
            1, len(set(pages))
        )
        entry["cannot_read"] = sum(not row.get("readable", True) for row in answered.values()) / max(1, len(answered))
        entry["bins"] = [_dumped(_bin_mean(answered, low, high)) for low, high in zip(bins[:-1], bins[1:], strict=True)]
        if name in against:
            other = by_variant[against[name]]
            shared = [key for key in answered if key in other]
            entry["against"] = against[name]
            entry["difference"] = _dumped(
                bootstrap_difference(
                    [answered[key]["score"] for key in shared],
                    [other[key]["score"] for key in shared],
                    [answered[key]["image_id"] for key in shared],
                )
            )
        if timed:
            seconds = sum(
                row.get(f"{stage}_s", 0.0) for row in answered.values() for stage in ("encode", "plan", "read")
            )
            entry["seconds"] = seconds / len(answered) if answered else None
            right = sum(row["score"] or 0.0 for row in answered.values())
            entry["right_per_s"] = right / seconds if seconds else None
        table[name] = entry
    return {"bins": list(bins), "metric": title(row.get("metric") for row in rows), "variants": table}


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A stored row as a table takes it: without what an error row does not have."""
    metadata, seconds = json.loads(row["metadata"] or "{}"), row["seconds"] or {}
    made = {"id": row["id"], "image_id": row["image_id"], "variant": row["variant"], "score": row["score"]}
    made["metric"] = row["metric"]
    made |= {"exact": row["exact"], "x_height_px": metadata.get("x_height_px")}
    made["encoder_passes"] = row["encoder_passes"] or 0.0
    if row["error"] is not None:
        return {**made, "error": row["error"]}
    copied = ("coverage", "answer", "readable", "confidence", "visual_tok", "prefill_tok")
    times = {f"{stage}_s": seconds.get(stage, 0.0) for stage in STAGES}
    return {**made, **{key: row[key] for key in copied}, "fixations": len(row["fixations"]), **times}


def _bin_mean(answered: Mapping[str, Mapping[str, Any]], low: float, high: float) -> Interval | None:
    inside = [row for row in answered.values() if row["x_height_px"] is not None and low <= row["x_height_px"] < high]
    return bootstrap_mean([row["score"] for row in inside], [row["image_id"] for row in inside])


def _dumped(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else asdict(interval)


def to_markdown(results: Mapping[str, Any]) -> str:
    """The table as GitHub shows it, with n, seed, commit and processor below."""
    columns, rows = cells(results)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", f"{results.get('title', '')}: {footnote(results)}", ""])


def cells(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table as text: its columns, and one row a variant."""
    edges = results["bins"]
    heads = [f"{low:g}-{high:g} px" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    columns = ["", "tokens", f"{results['metric']} [95 %]", "difference [95 %]", "exact", "coverage", *heads]
    timed = {"s": "seconds", "right/s": "right_per_s"}
    timed = {head: key for head, key in timed.items() if all(key in entry for entry in results["variants"].values())}
    rows = []
    for name, entry in results["variants"].items():
        difference = ""
        if entry.get("difference"):
            difference = f"{interval_text(entry['difference'], sign=True)} to {entry['against']}"
        rows.append(
            [
                name,
                _number(entry["visual_tok"], 0),
                interval_text(entry["score"]),
                difference,
                _mean(entry["exact"]),
                _mean(entry["coverage"]),
                *map(interval_text, entry["bins"]),
                _number(entry["fixations"], 1),
                _number(entry["prefill_tok"], 0),
                _number(entry["encoder_passes"], 2),
                *(_number(entry[key], 2) for key in timed.values()),
            ]
        )
    return [*columns, "looks", "prefill", "encoder", *timed], rows


def footnote(results: Mapping[str, Any]) -> str:
    """What the numbers of the table are: n, seed, what the columns count, commit and processor."""
    first = next(iter(results["variants"].values()))
    sizes = [str(b["num_questions"] if b else 0) for b in first["bins"]]
    scored = first["score"] or {"num_questions": 0, "num_pages": 0, "num_resamples": 0, "seed": 0}
    return (
        f"n = {scored['num_questions']} questions on {scored['num_pages']} pages; "
        f"intervals: bootstrap over pages, {scored['num_resamples']} resamples, seed {scored['seed']}. "
        f"{_px_note(sizes, results['metric'])}coverage: share of the answer box shown at full resolution. "
        "looks, prefill: fixations and prompt tokens computed, a question. encoder: passes an image, 1 = every patch "
        "of the full view once. "
        f"{_seconds_note(results['metric']) if 'seconds' in first else ''}"
        f"Commit {results.get('commit')}, {results.get('processor')}."
    )


def _px_note(sizes: Sequence[str], metric: str) -> str:
    return f"Columns in px: {metric} by x-height ({', '.join(sizes)} questions). " if sizes else ""


def _seconds_note(metric: str) -> str:
    return f"s: seconds per question; right/s: {metric} per second. "


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _mean(interval: Mapping[str, Any] | None) -> str:
    return "-" if interval is None else f"{interval['mean']:.2f}"
