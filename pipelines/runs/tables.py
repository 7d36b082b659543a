"""From an experiment's rows to its results: means with intervals, paired differences, groups of questions, costs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.runs import wrong_answers
from pipelines.runs.experiment import Experiment
from saccade.metrics.bootstrap import MIN_PAGES, Interval, bootstrap_difference, bootstrap_mean, dumped
from saccade.metrics.scoring import title

STAGES = ("encode", "plan", "read")
COSTS = ("visual_tok", "prefill_tok", "fixations", "read_s", "plan_s")  # per question
READ, UNREAD = "read by {}", "not read by {}"
MOST_GROUPS = 12  # columns of a table

Rows = Mapping[str, Mapping[str, Any]]  # of one variant, by the question's id


def summarise(rows: Sequence[Mapping[str, Any]], experiment: Experiment) -> dict[str, Any]:
    """Per variant: score, exact match and coverage with 95 % intervals clustered by page, score per bin and group,
    differences and whether they were expected, mean costs.

    A timed experiment also has seconds per question (mean, median, 95th percentile) and right answers per second: only
    there does each variant encode for itself.
    """
    by_variant = {name: {row["id"]: row for row in rows if row["variant"] == name} for name in experiment.variants}
    groups = _groups(by_variant, experiment.by)
    bins = experiment.bins
    table: dict[str, Any] = {}
    for name, answered in by_variant.items():
        pages = [row["image_id"] for row in answered.values()]
        entry: dict[str, Any] = {"n": len(answered), "errors": sum("error" in row for row in answered.values())}
        for score in ("score", "exact", "coverage"):
            entry[score] = dumped(bootstrap_mean([row.get(score) for row in answered.values()], pages))
        for cost in COSTS:
            entry[cost] = _mean([row[cost] for row in answered.values() if cost in row])
        passes = sum(row.get("encoder_passes", 0.0) for row in answered.values())
        entry["encoder_passes"] = passes / max(1, len(set(pages)))
        entry["cannot_read"] = sum(not row.get("readable", True) for row in answered.values()) / max(1, len(answered))
        entry["bins"] = [dumped(_bin_mean(answered, low, high)) for low, high in zip(bins[:-1], bins[1:], strict=True)]
        entry["groups"] = {group: dumped(_mean_of(answered, ids)) for group, ids in groups.items()}
        means = [interval["mean"] for interval in entry["groups"].values() if interval]
        entry["spread"] = float(np.std(means, ddof=1)) if experiment.spread and len(means) > 1 else None
        entry |= _compared(name, by_variant, experiment)
        entry |= _timed(answered) if experiment.timed else {}
        entry |= {"peak_mb": _most(answered, "peak_mb")} if experiment.memory else {}
        table[name] = entry
    results: dict[str, Any] = {"bins": list(bins), "groups": list(groups), "variants": table}
    results["metric"] = title(row.get("metric") for row in rows)
    if experiment.failures is not None:
        results["failures"] = wrong_answers.classes(rows, experiment.failures)
    return results


def _compared(name: str, by_variant: Mapping[str, Rows], experiment: Experiment) -> dict[str, Any]:
    """A variant's difference to the one it is compared with, and whether that was expected."""
    if name not in experiment.against:
        return {}
    answered, other = by_variant[name], by_variant[experiment.against[name]]
    shared = [key for key in answered if key in other]
    difference = bootstrap_difference(
        [answered[key]["score"] for key in shared],
        [other[key]["score"] for key in shared],
        [answered[key]["image_id"] for key in shared],
    )
    comparison: dict[str, Any] = {"against": experiment.against[name], "difference": dumped(difference)}
    if name in experiment.expected:
        comparison |= {"expected": experiment.expected[name], "verdict": verdict(difference, experiment.expected[name])}
    return comparison


def verdict(difference: Interval | None, expected: float) -> str:
    """Whether a measured difference is the expected one, by its interval; open: too few pages to say."""
    if difference is None or difference.low is None or difference.high is None or difference.num_pages < MIN_PAGES:
        return "open"
    if difference.low <= expected <= difference.high:
        return "as expected"
    return "less" if difference.high < expected else "more"


def _timed(answered: Rows) -> dict[str, Any]:
    """Seconds per question, of all stages and of each."""
    each = [sum(row.get(f"{stage}_s", 0.0) for stage in STAGES) for row in answered.values()]
    total, right = sum(each), sum(row["score"] or 0.0 for row in answered.values())
    profiles = [row["stages"] for row in answered.values() if row.get("stages")]
    names = dict.fromkeys(name for profile in profiles for name in profile)
    return {
        "seconds": total / len(each) if each else None,
        "seconds_p50": float(np.quantile(each, 0.5)) if each else None,
        "seconds_p95": float(np.quantile(each, 0.95)) if each else None,
        "right_per_s": right / total if total else None,
        "stages": {name: _mean([profile.get(name, 0.0) for profile in profiles]) for name in names},
    }


def _groups(by_variant: Mapping[str, Rows], by: str) -> dict[str, set[str]]:
    """The questions of each group: by a key of their metadata, or by whether a variant reads them."""
    if not by:
        return {}
    if by in by_variant:
        scored = {key: row["score"] for key, row in by_variant[by].items() if row["score"] is not None}
        read = {key for key, score in scored.items() if score >= wrong_answers.RIGHT}
        return {READ.format(by): read, UNREAD.format(by): scored.keys() - read}
    groups: dict[str, set[str]] = {}
    for row in (row for answered in by_variant.values() for row in answered.values()):
        if (value := row["metadata"].get(by)) is not None:
            groups.setdefault(str(value), set()).add(row["id"])
    return dict(sorted(groups.items())[:MOST_GROUPS])


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A stored row as a table takes it; an error row has only some of the keys."""
    metadata, seconds = json.loads(row["metadata"] or "{}"), row["seconds"] or {}
    common = {key: row[key] for key in ("id", "image_id", "variant", "score", "metric", "exact", "question", "answers")}
    common |= {"metadata": metadata, "x_height_px": metadata.get("x_height_px")}
    common["encoder_passes"] = row["encoder_passes"] or 0.0
    if row["error"] is not None:
        return {**common, "error": row["error"]}
    copied = ("coverage", "answer", "readable", "confidence", "visual_tok", "prefill_tok", "peak_mb")
    times = {f"{stage}_s": seconds.get(stage, 0.0) for stage in STAGES}
    times["stages"] = {stage["name"]: stage["seconds"] for stage in row["stages"] or ()}
    return {**common, **{key: row[key] for key in copied}, "fixations": len(row["fixations"]), **times}


def _mean_of(answered: Rows, ids: set[str]) -> Interval | None:
    inside = [row for key, row in answered.items() if key in ids]
    return bootstrap_mean([row["score"] for row in inside], [row["image_id"] for row in inside])


def _bin_mean(answered: Rows, low: float, high: float) -> Interval | None:
    heights = {key: row["x_height_px"] for key, row in answered.items() if row["x_height_px"] is not None}
    return _mean_of(answered, {key for key, height in heights.items() if low <= height < high})


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _most(answered: Rows, key: str) -> float | None:
    return max((row[key] for row in answered.values() if row.get(key) is not None), default=None)
