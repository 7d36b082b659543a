"""Bootstrap intervals: against scipy where every page has one question, and by their laws where pages are clusters."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from saccade.metrics.bootstrap import bootstrap_difference, bootstrap_mean, gains, interval_text

SCORES = np.random.default_rng(1).random(60).tolist()


def test_one_question_a_page_is_the_ordinary_bootstrap() -> None:
    ours = bootstrap_mean(SCORES, range(60), seed=3)
    theirs = stats.bootstrap((SCORES,), np.mean, method="percentile", n_resamples=10_000, rng=5).confidence_interval
    assert ours is not None and ours.low is not None and ours.high is not None
    assert ours.mean == pytest.approx(np.mean(SCORES))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)
    assert (ours.num_questions, ours.num_pages, ours.seed, ours.level) == (60, 60, 3, 0.95)


def test_paired_difference_is_scipys_paired_bootstrap() -> None:
    other = (np.array(SCORES) * 0.7 + 0.1).tolist()
    ours = bootstrap_difference(SCORES, other, range(60))
    theirs = stats.bootstrap(
        (SCORES, other),
        lambda a, b, axis: np.mean(a - b, axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=5,
    ).confidence_interval
    assert ours is not None and ours.low is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_copies_on_one_page_add_no_certainty() -> None:
    """Eight equal questions per page: the interval of the pages, not one that is narrower by the square root of 8."""
    pages = bootstrap_mean(SCORES, range(60))
    repeated = bootstrap_mean([s for s in SCORES for _ in range(8)], [p for p in range(60) for _ in range(8)])
    naive = bootstrap_mean([s for s in SCORES for _ in range(8)], range(480))
    assert pages is not None and repeated is not None and naive is not None
    assert (repeated.low, repeated.high) == pytest.approx((pages.low, pages.high))
    assert repeated.high - repeated.low > 2 * (naive.high - naive.low)  # type: ignore[operator]


def test_two_pages_by_hand() -> None:
    """Page a: 1, 1, 1; page b: 0. Draws aa, ab, ba, bb give means 1, 3/4, 3/4, 0."""
    interval = bootstrap_mean([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"], level=0.4)
    assert interval is not None
    assert (interval.mean, interval.low, interval.high) == (0.75, 0.75, 0.75)  # the middle 40 % of those four
    wide = bootstrap_mean([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"], level=0.95)
    assert wide is not None and (wide.low, wide.high) == (0.0, 1.0)


def test_hidden_answers_are_left_out_of_both() -> None:
    interval = bootstrap_difference([1.0, None, 0.5, 0.2], [0.5, 1.0, None, 0.2], ["a", "a", "b", "c"])
    assert interval is not None
    assert (interval.mean, interval.num_questions, interval.num_pages) == (0.25, 2, 2)
    assert bootstrap_mean([None, None], ["a", "b"]) is None


def test_one_page_has_a_mean_and_no_interval() -> None:
    interval = bootstrap_mean([0.0, 1.0], ["a", "a"])
    assert interval is not None and (interval.mean, interval.low, interval.high) == (0.5, None, None)


def test_bounds_are_printed_from_five_pages_on() -> None:
    for pages, printed in ((4, "0.50"), (5, "0.50 [0.50, 0.50]")):
        interval = bootstrap_mean([0.5] * pages, range(pages))
        assert interval is not None and interval_text(asdict(interval)) == printed


def test_a_gain_is_claimed_where_its_bounds_are_printed_and_above_0() -> None:
    for differences, claimed in (([0.5] * 4, False), ([0.5] * 5, True), ([0.5, -0.5] * 4, False), ([None], False)):
        interval = bootstrap_mean(differences, range(len(differences)))
        assert gains(None if interval is None else asdict(interval)) is claimed


def test_the_seed_decides() -> None:
    assert bootstrap_mean(SCORES, range(60), seed=1) == bootstrap_mean(SCORES, range(60), seed=1)
    assert bootstrap_mean(SCORES, range(60), seed=1) != bootstrap_mean(SCORES, range(60), seed=2)


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        bootstrap_mean([1.0], ["a", "b"])
