"""ANLS, the score of DocVQA: how close an answer's letters are to the nearest accepted answer.

Average Normalised Levenshtein Similarity (Biten et al. 2019, https://arxiv.org/abs/1905.13648), computed by
`anls_star` (Peer et al. 2024, https://arxiv.org/abs/2402.03848): case and runs of blanks do not count; the similarity
is 1 - edits / longer length; below 0.5 it is 0, at exactly 0.5 it is 0.5.
"""

from collections.abc import Sequence

from anls_star import anls_score


def anls(answer: str, answers: Sequence[str] | None) -> float | None:
    """Similarity in {0} and [0.5, 1] of `answer` to the nearest of `answers`; None where those are hidden.

    An empty answer (the reader could not read it) scores 0, whatever is accepted.
    """
    if not answers:
        return None
    if not answer.strip():
        return 0.0
    return float(anls_score(tuple(answers), answer))  # a tuple lists alternatives; a list would be matched as a whole
