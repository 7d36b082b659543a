"""Exact match: the answer says the same as an accepted answer, letter by letter."""

import string
import unicodedata
from collections.abc import Sequence


def normalised(text: str) -> str:
    """What exact match compares: Unicode NFKC, case folded, runs of blanks one space, none at the ends.

    Punctuation counts: "1,200.00" is not "1200.00".
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def exact(answer: str, answers: Sequence[str] | None) -> float | None:
    """1.0 if `answer` equals one of `answers` after `normalised`, else 0.0; None where those are hidden.

    An empty answer (the reader could not read it) scores 0, whatever is accepted.
    """
    if not answers:
        return None
    said = normalised(answer)
    return float(bool(said) and said in {normalised(accepted) for accepted in answers})


def words(answer: str, answers: Sequence[str] | None) -> float | None:
    """As `exact`, without ASCII punctuation: the score of GQA (Hudson & Manning 2019) as lmms-eval computes it."""
    bare = str.maketrans("", "", string.punctuation)
    return exact(answer.translate(bare), None if not answers else [accepted.translate(bare) for accepted in answers])
