"""Containment, the score of OCRBench (Liu et al. 2024, https://arxiv.org/abs/2305.07895): the answer holds the text."""

from collections.abc import Sequence


def contains(answer: str, answers: Sequence[str] | None) -> float | None:
    """1.0 if `answer` holds one of `answers`, whatever its case, else 0.0; None where those are hidden."""
    return _holds(_lowered(answer), [_lowered(accepted) for accepted in answers or ()])


def formula(answer: str, answers: Sequence[str] | None) -> float | None:
    """The same for formulas in LaTeX: case counts, blanks do not. None where the answers are hidden."""
    return _holds("".join(answer.split()), ["".join(accepted.split()) for accepted in answers or ()])


def _lowered(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _holds(answer: str, answers: Sequence[str]) -> float | None:
    if not answers:
        return None
    return float(any(accepted in answer for accepted in answers if accepted))
