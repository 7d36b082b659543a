"""Relaxed accuracy, the score of ChartQA: a number may be 5 % off, any other text must be met.

Methani et al. 2020 and Masry et al. 2022 (https://arxiv.org/abs/2203.10244, section 5.1), in the form in which
published numbers are computed: a percentage is a hundredth, case does not count, and where the right number is 0 texts
are compared.
"""

from collections.abc import Sequence

TOLERANCE = 0.05  # of the right number


def relaxed(answer: str, answers: Sequence[str] | None) -> float | None:
    """1.0 if `answer` is within 5 % of one of `answers`, or says the same, else 0.0; None where those are hidden."""
    if not answers:
        return None
    return float(any(_meets(answer.strip(), accepted.strip()) for accepted in answers))


def _meets(answer: str, accepted: str) -> bool:
    said, right = _number(answer), _number(accepted)
    if said is not None and right:
        return abs(said - right) / abs(right) <= TOLERANCE  # not a product, which rounds otherwise
    return bool(answer) and answer.lower() == accepted.lower()


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
