"""Accuracy against tokens, from what was measured: an experiment's results, or the looks of one run.

A run stores what was answered after every look, so one run gives a curve: the mean score if every question had stopped
after its first look, its second, and so on; a question that stopped earlier keeps its answer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saccade.errors import DataError
from saccade.metrics.bootstrap import bootstrap_mean
from saccade.metrics.scoring import metric, title
from saccade.wording import counted


@dataclass(frozen=True, slots=True)
class Point:
    """One way of looking: mean score and its 95 % interval (None: a single page) at so many tokens, or degrees."""

    name: str
    at: float  # mean visual tokens per question; degrees, of curves over gaze error
    score: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one family, by tokens."""

    name: str
    points: tuple[Point, ...]
    metric: str = "ANLS"  # of the scores, as it is called


def of_results(results: Mapping[str, Any]) -> tuple[Curve, ...]:
    """One curve per family of variants: `resize@273` and `resize@819` are two points of `resize`.

    A family is a variant's name up to its first "@" or comma; `hybrid, until sure` chooses its tokens by itself and is
    one of its own: only names that end in a number of tokens or looks (`@273`, `, 2 x 273`) are points of a curve.

    Raises:
        DataError: these are not the results of an experiment.
    """
    families: dict[str, list[Point]] = {}
    try:
        for name, entry in results["variants"].items():
            score, tokens = entry["score"], entry["visual_tok"]
            if score is not None and tokens is not None:
                point = Point(name, float(tokens), score["mean"], score["low"], score["high"])
                families.setdefault(family(name), []).append(point)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not the results of `saccade experiment`: {type(error).__name__} {error}") from error
    return tuple(
        Curve(name, tuple(sorted(points, key=lambda point: point.at)), results.get("metric", title(())))
        for name, points in families.items()
    )


def of_gaze_error(results: Mapping[str, Any]) -> tuple[Curve, ...]:
    """One curve per way of looking whose variants are told a gaze: `log-polar@273, 1.5 deg` and its likes."""
    curves: dict[str, list[Point]] = {}
    for name, entry in results["variants"].items():
        told, score = re.fullmatch(r"(.+), ([\d.]+) deg", name), entry["score"]
        if told and score is not None:
            point = Point(name, float(told[2]), score["mean"], score["low"], score["high"])
            curves.setdefault(told[1], []).append(point)
    metric = results.get("metric", title(()))
    return tuple(
        Curve(name, tuple(sorted(points, key=lambda point: point.at)), metric) for name, points in curves.items()
    )


def family(variant: str) -> str:
    """`resize` of `resize@273`, `hybrid` of `hybrid, 2 x 273`; the whole name of any other."""
    match = re.fullmatch(r"(.+?)(?:@\d+|, \d+ x \d+)", variant)
    return match[1] if match else variant


def of_looks(rows: Sequence[Mapping[str, Any]]) -> Curve | None:
    """What stored rows of answers would have scored after 1, 2, ... looks; None where no answers are known.

    An error row scores 0, as in every table, and has no tokens. After its last look a question has its final answer.
    """
    scored = [row for row in rows if row.get("score") is not None]
    answered = [row for row in scored if not row.get("error")]
    if not answered:
        return None
    points = []
    for looks in range(1, max(len(row["fixations"]) for row in answered) + 1):
        interval = bootstrap_mean([_after(row, looks) for row in scored], [row["image_id"] for row in scored])
        assert interval is not None  # all of them have a score
        mean_tok = sum(_tokens(row, looks) for row in answered) / len(answered)
        name = counted(looks, "look")
        points.append(Point(name, mean_tok, interval.mean, interval.low, interval.high))
    return Curve("this run", tuple(points), title(row.get("metric") for row in scored))


def _after(row: Mapping[str, Any], looks: int) -> float:
    """Score of the answer after that many looks."""
    if row.get("error") or looks >= len(row["fixations"]):
        return float(row["score"])
    scored = metric(row.get("metric") or "anls").score
    return scored(row["fixations"][looks - 1]["answer"] or "", row["answers"]) or 0.0


def _tokens(row: Mapping[str, Any], looks: int) -> int:
    """Visual tokens on the canvas then: what later looks added is taken off, so that a glimpse stays counted."""
    return int(row["visual_tok"]) - sum(int(look["tokens"]) for look in row["fixations"][looks:])
