"""How sure a mean, or a difference between two methods, is: bootstrap intervals that resample whole pages.

Questions of one page share its print, noise and layout, so they are not independent: drawing pages instead of
questions keeps the interval honest (Efron & Tibshirani 1993, ch. 8; percentile interval). Two methods are compared on
the same questions, question by question.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

NUM_RESAMPLES = 10_000
MIN_PAGES = 5  # fewer do not tell how much pages differ: their bounds are not printed
_CELLS = 4_000_000  # of one block of resamples x pages: 32 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over questions, and the interval that holds it at `level`. No bounds from a single page."""

    mean: float
    low: float | None
    high: float | None
    num_questions: int  # that have a score (of both methods)
    num_pages: int  # they stand on
    num_resamples: int
    seed: int
    level: float


def bootstrap_mean(
    scores: Sequence[float | None],
    pages: Sequence[Hashable],
    *,
    seed: int = 0,
    level: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval | None:
    """Mean score over questions with its interval; None when no question has a score.

    `scores` one per question (None = hidden answers: left out), `pages` the image id of each question.
    """
    scored = [(score, page) for score, page in zip(scores, pages, strict=True) if score is not None]
    if not scored:
        return None
    values = np.array([score for score, _ in scored], dtype=np.float64)
    page_of = {page: number for number, page in enumerate(dict.fromkeys(page for _, page in scored))}
    cluster = np.array([page_of[page] for _, page in scored])
    sums = np.bincount(cluster, weights=values)  # (P,) of each page's scores
    counts = np.bincount(cluster)  # (P,) questions of each page
    low = high = None
    if len(page_of) > 1:
        means = _resampled_means(sums, counts, num_resamples, seed)
        low, high = (float(bound) for bound in np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))
    return Interval(float(values.mean()), low, high, len(values), len(page_of), num_resamples, seed, level)


def bootstrap_difference(
    first: Sequence[float | None],
    second: Sequence[float | None],
    pages: Sequence[Hashable],
    *,
    seed: int = 0,
    level: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval | None:
    """Mean of `first - second`, paired by question; a question that either method leaves unscored is left out.

    An interval that does not hold 0 says that the methods differ.
    """
    differences = [None if a is None or b is None else a - b for a, b in zip(first, second, strict=True)]
    return bootstrap_mean(differences, pages, seed=seed, level=level, num_resamples=num_resamples)


def _resampled_means(sums: np.ndarray, counts: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """(R,) means over the questions of P pages drawn with replacement, R times."""
    rng = np.random.default_rng(seed)
    num_pages = len(sums)
    block = max(1, _CELLS // num_pages)
    means = []
    for start in range(0, num_resamples, block):
        # How often each page was drawn; the same as drawing page numbers and counting them.
        drawn = rng.multinomial(num_pages, np.full(num_pages, 1 / num_pages), min(block, num_resamples - start))
        means.append((drawn @ sums) / (drawn @ counts))  # (block,)
    return np.concatenate(means)


def dumped(interval: Interval | None) -> dict[str, Any] | None:
    """An interval as it is stored in reports; nothing stays nothing."""
    return None if interval is None else asdict(interval)


def bounded(interval: Mapping[str, Any]) -> bool:
    """Whether an interval, as it is stored, has bounds worth printing."""
    return interval["low"] is not None and interval["num_pages"] >= MIN_PAGES


def gains(difference: Mapping[str, Any] | None) -> bool:
    """Whether a difference, as it is stored, lies above 0 with its whole interval, of bounds worth printing."""
    return difference is not None and bounded(difference) and difference["low"] > 0


def interval_text(interval: Mapping[str, Any] | None, sign: bool = False) -> str:
    """A mean with its bounds, as tables print it."""
    if interval is None:
        return "-"
    form = "+.2f" if sign else ".2f"
    if not bounded(interval):
        return f"{interval['mean']:{form}}"
    return f"{interval['mean']:{form}} [{interval['low']:{form}}, {interval['high']:{form}}]"
