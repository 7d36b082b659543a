"""Reliability by hand; the fit against scipy's minimiser; what it must not change."""

import json
import math
from pathlib import Path

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


def drawn(slope: float, intercept: float, num: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and scores (0 or 1) that they predict after this map."""
    rng = np.random.default_rng(3)
    p = rng.uniform(0.01, 0.99, num)
    truth = 1 / (1 + np.exp(-(slope * np.log(p / (1 - p)) + intercept)))
    return p, (rng.random(num) < truth).astype(float)


def test_fit_is_the_minimum_that_scipy_finds_and_removes_the_error():
    p, score = drawn(0.4, 1.2)
    fitted = Calibration.fit(p.tolist(), score.tolist())

    def loss(w: np.ndarray) -> float:
        z = w[0] * np.log(p / (1 - p)) + w[1]
        return float(np.sum(np.logaddexp(0, z) - score * z) + 0.5 * np.sum((w - [1, 0]) ** 2))

    assert [fitted.slope, fitted.intercept] == pytest.approx(minimize(loss, [1.0, 0.0]).x, abs=1e-3)
    assert expected_calibration_error(p, score) > 0.15
    assert expected_calibration_error([fitted(x) for x in p], score) < 0.03


def test_soft_scores_and_hopeless_data_stay_finite_and_monotone():
    for score in ([0.0] * 50, [1.0] * 50, [0.7] * 50):
        fitted = Calibration.fit(np.linspace(0, 1, 50).tolist(), score)
        mapped = [fitted(p) for p in np.linspace(0.01, 1, 30)]
        assert all(0 < m < 1 and math.isfinite(m) for m in mapped)
        assert mapped == sorted(mapped)


def test_zero_stays_zero_and_no_file_changes_nothing(tmp_path: Path):
    assert Calibration(slope=0.5, intercept=3)(0.0) == 0.0
    assert Calibration.load(tmp_path / "none.json")(0.123) == 0.123
    assert Calibration.load(None)(1.0) == 1.0
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps({"slope": 2.0, "intercept": 0.0, "data": {"any": "thing"}}))
    assert Calibration.load(file)(0.8) == pytest.approx(0.8**2 / (0.8**2 + 0.2**2))
