"""Reliability by hand; the fit against scipy's minimiser; what it must not change."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from saccade.metrics.calibration import Calibration, expected_calibration_error, reliability


def test_reliability_by_hand():
    bins = reliability([0.05, 0.15, 0.19, 1.0], [0.0, 0.0, 1.0, 1.0], num_bins=10)
    assert [(b.low, b.num_answers) for b in bins] == [(0.0, 1), (0.1, 2), (0.9, 1)]
    assert (bins[1].confidence, bins[1].score) == (pytest.approx(0.17), 0.5)
    # (0.05 * 1 + |0.17 - 0.5| * 2 + 0 * 1) / 4
    assert expected_calibration_error([0.05, 0.15, 0.19, 1.0], [0, 0, 1, 1]) == pytest.approx(0.1775)
    assert expected_calibration_error([], []) == 0.0


def drawn(num: int = 4000) -> tuple[list[tuple[float, ...]], np.ndarray, np.ndarray]:
    """Log-probabilities of answers of 2 to 9 tokens, their log-odds (A, 2), and scores (0 or 1) that a map predicts."""
    rng = np.random.default_rng(3)
    answers = [tuple(np.log(rng.beta(4, 1, rng.integers(2, 10))).tolist()) for _ in range(num)]
    p = np.clip(np.exp([[np.mean(a), min(a)] for a in answers]), 1e-6, 1 - 1e-6)
    odds = np.log(p / (1 - p))
    truth = 1 / (1 + np.exp(-(0.4 * odds[:, 0] + 0.8 * odds[:, 1] - 1.5)))
    return answers, odds, (rng.random(num) < truth).astype(float)


def test_fit_is_the_minimum_that_scipy_finds_and_removes_the_error():
    answers, odds, score = drawn()
    fitted = Calibration.fit(answers, score.tolist())

    def loss(w: np.ndarray) -> float:
        z = odds @ w[:2] + w[2]
        return float(np.sum(np.logaddexp(0, z) - score * z) + 0.5 * np.sum((w - [1, 0, 0]) ** 2))

    best = minimize(loss, [1.0, 0.0, 0.0]).x
    assert [fitted.mean, fitted.least, fitted.intercept] == pytest.approx(best, abs=1e-3)
    assert expected_calibration_error([Calibration()(a) for a in answers], score) > 0.1
    assert expected_calibration_error([fitted(a) for a in answers], score) < 0.03


def test_a_weight_that_would_be_negative_is_left_out():
    """Answers that are the righter the less sure their least token is: the least token must not count against them."""
    rng = np.random.default_rng(0)
    answers = [(math.log(0.9), math.log(p)) for p in rng.uniform(0.1, 0.9, 500)]
    fitted = Calibration.fit(answers, [float(a[1] < math.log(0.5)) for a in answers])
    assert fitted.least == 0 or fitted.mean == 0
    assert fitted.least >= 0 and fitted.mean >= 0


def test_soft_scores_and_hopeless_data_stay_finite_and_monotone():
    answers = [(math.log(p), math.log(p)) for p in np.linspace(0.01, 1, 50)]
    for score in ([0.0] * 50, [1.0] * 50, [0.7] * 50):
        fitted = Calibration.fit(answers, score)
        mapped = [fitted(answer) for answer in answers]
        assert all(0 < m < 1 and math.isfinite(m) for m in mapped)
        assert mapped == sorted(mapped)


def test_a_steep_map_is_finite_at_both_ends():
    steep = Calibration(mean=100.0)
    assert 0 <= steep([-50.0]) < 1e-9 and steep([0.0]) == 1


def test_length_alone_does_not_make_an_answer_less_sure():
    assert (
        Calibration()([math.log(0.9)] * 3) == pytest.approx(Calibration()([math.log(0.9)] * 30)) == pytest.approx(0.9)
    )
    fitted = Calibration(mean=0.5, least=0.7, intercept=0.2)
    assert fitted([math.log(0.9)] * 3) == pytest.approx(fitted([math.log(0.9)] * 30))
    assert fitted([math.log(0.9), math.log(0.2)]) < fitted([math.log(0.9), math.log(0.8)])
