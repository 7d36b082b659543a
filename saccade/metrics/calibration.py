"""How far confidence can be believed, and the map that makes it an expected score.

A reader's confidence is the probability it gives to its own answer. Whether answers of confidence p score p on average
is a property of the checkpoint: it is measured (`reliability`), and mended with two numbers (Platt 1999, fitted to
soft targets, the ANLS of each answer) that lie beside the weights in `calibration.json`.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

CALIBRATION_FILE = "calibration.json"
TINY = 1e-6  # probabilities are kept this far from 0 and 1 before their log-odds are taken


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence lies in [low, high)."""

    low: float
    high: float
    num_answers: int
    confidence: float  # mean
    score: float  # mean


def reliability(confidence: Sequence[float], score: Sequence[float], num_bins: int = 10) -> list[Bin]:
    """Bins of equal width over [0, 1] that hold answers; the last one includes 1."""
    p, s = np.asarray(confidence, np.float64), np.asarray(score, np.float64)
    number = np.minimum((p * num_bins).astype(int), num_bins - 1)
    return [
        Bin(b / num_bins, (b + 1) / num_bins, int((number == b).sum()), float(p[number == b].mean()),
            float(s[number == b].mean()))
        for b in np.unique(number)
    ]  # fmt: skip


def expected_calibration_error(confidence: Sequence[float], score: Sequence[float], num_bins: int = 10) -> float:
    """Mean distance of confidence from score over the bins, weighted by their answers (Guo et al. 2017)."""
    bins = reliability(confidence, score, num_bins)
    total = sum(b.num_answers for b in bins)
    return sum(b.num_answers * abs(b.confidence - b.score) for b in bins) / total if total else 0.0


class Calibration(BaseModel):
    """sigmoid(slope * log-odds(p) + intercept). The default changes nothing."""

    model_config = ConfigDict(extra="allow", frozen=True)  # the file also says what it was fitted on

    slope: float = Field(1.0, gt=0, description="Above 0, so that more confident stays more confident.")
    intercept: float = 0.0

    def __call__(self, probability: float) -> float:
        """The expected score of an answer of this probability; 0 stays 0: that says 'cannot read'."""
        if probability <= 0 or (self.slope, self.intercept) == (1.0, 0.0):
            return probability
        return 1 / (1 + math.exp(-(self.slope * float(_log_odds(probability)) + self.intercept)))

    @classmethod
    def load(cls, file: Path | None) -> Self:
        """The calibration of a checkpoint; the one that changes nothing if it has none."""
        return cls.model_validate(json.loads(file.read_text())) if file is not None and file.exists() else cls()

    @classmethod
    def fit(cls, probability: Sequence[float], score: Sequence[float], steps: int = 50) -> Self:
        """Least cross-entropy of the mapped probabilities to scores in [0, 1], by Newton's method.

        A pull of one answer's weight towards `slope` 1 and `intercept` 0 keeps it finite where all scores are equal.
        """
        x = np.stack([_log_odds(np.asarray(probability, np.float64)), np.ones(len(probability))], 1)  # (A, 2)
        target, start = np.asarray(score, np.float64), np.array([1.0, 0.0])
        weights = start.copy()
        for _ in range(steps):
            mapped = 1 / (1 + np.exp(-np.clip(x @ weights, -50, 50)))
            gradient = x.T @ (mapped - target) + (weights - start)
            curvature = (x * (mapped * (1 - mapped))[:, None]).T @ x + np.eye(2)
            weights = weights - np.linalg.solve(curvature, gradient)
            weights[0] = max(weights[0], 0.05)
        return cls(slope=float(weights[0]), intercept=float(weights[1]))


def _log_odds(probability: float | np.ndarray) -> np.ndarray:
    p: np.ndarray = np.clip(np.asarray(probability, np.float64), TINY, 1 - TINY)
    return np.log(p) - np.log1p(-p)  # type: ignore[no-any-return]
