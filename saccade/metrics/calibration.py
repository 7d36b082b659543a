"""How far confidence can be believed, and the map that makes it an expected score.

A reader is as sure as the probabilities that it gives to its own tokens: their geometric mean, so that a long answer is
not less sure than a short one, and the least of them, because one wrong digit makes an amount wrong. Whether answers of
confidence p score p on average is a property of the checkpoint: it is measured (`reliability`), and mended with three
numbers (Platt 1999, fitted to soft targets, the ANLS of each answer) that lie beside the weights (`saccade.card`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

TINY = 1e-6  # probabilities are kept this far from 0 and 1 before their log-odds are taken
MOST_ODDS = 700.0  # log-odds whose exponential is still finite


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
    """sigmoid(mean * log-odds(geometric mean) + least * log-odds(least) + intercept) of an answer's tokens

    Means are of the tokens' probabilities. The default is the geometric mean itself.
    """

    model_config = ConfigDict(extra="allow", frozen=True)  # the file also says what it was fitted on

    mean: float = Field(1.0, ge=0, description="Not below 0, so that more confident stays more confident.")
    least: float = Field(0.0, ge=0)
    intercept: float = 0.0

    def __call__(self, logprobs: Sequence[float]) -> float:
        """The expected score of an answer whose tokens, the closing one included, have these log-probabilities."""
        mean, least = (math.exp(value) for value in _features(logprobs))
        if (self.mean, self.least, self.intercept) == (1.0, 0.0, 0.0):
            return mean
        odds = self.mean * float(_log_odds(mean)) + self.least * float(_log_odds(least)) + self.intercept
        return 1 / (1 + math.exp(min(-odds, MOST_ODDS)))

    @classmethod
    def fit(cls, logprobs: Sequence[Sequence[float]], score: Sequence[float]) -> Self:
        """Least cross-entropy of the mapped probabilities to scores in [0, 1].

        A pull of one answer's weight towards the default keeps it finite where all scores are equal. A weight that
        would fall below 0 is 0, and the others are fitted without it.
        """
        odds = _log_odds(np.exp([_features(answer) for answer in logprobs]).reshape(-1, 2))
        x, target = np.concatenate([odds, np.ones((len(odds), 1))], 1), np.asarray(score, np.float64)  # (A, 3)
        used = [0, 1, 2]
        weights = _fitted(x, target, used)
        while min(weights[:2]) < 0:
            used.remove(int(np.argmin(weights[:2])))
            weights = _fitted(x, target, used)
        mean, least, intercept = weights.tolist()
        return cls(mean=mean, least=least, intercept=intercept)


def _fitted(x: np.ndarray, target: np.ndarray, used: list[int]) -> np.ndarray:
    """The weights (3,) of columns `used` of x (A, 3), the others 0."""
    import torch  # only who fits needs it

    values, wanted = torch.from_numpy(x[:, used]), torch.from_numpy(target)
    start = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)[used]
    weights = start.clone().requires_grad_()
    search = torch.optim.LBFGS([weights], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(values @ weights, wanted, reduction="sum")
        total = entropy + (weights - start).square().sum() / 2
        torch.autograd.backward(total)
        return total

    search.step(loss)  # type: ignore[no-untyped-call]
    whole = np.zeros(3)
    whole[used] = weights.detach().numpy()
    return whole


def _features(logprobs: Sequence[float]) -> tuple[float, float]:
    """Logarithms of the geometric mean and of the least of some probabilities."""
    return sum(logprobs) / max(1, len(logprobs)), min(logprobs, default=0.0)


def _log_odds(probability: float | np.ndarray) -> np.ndarray:
    p: np.ndarray = np.clip(np.asarray(probability, np.float64), TINY, 1 - TINY)
    return np.log(p) - np.log1p(-p)  # type: ignore[no-any-return]
