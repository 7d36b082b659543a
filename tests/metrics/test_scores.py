"""ANLS against an edit distance from another library, exact match and coverage by hand; hidden answers score None."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from saccade.geometry.grid import plain_grid
from saccade.metrics.anls import anls
from saccade.metrics.coverage import coverage
from saccade.metrics.exact import exact

WORDS = st.text(alphabet="abAB 1.", max_size=12)


@given(answer=WORDS, answers=st.lists(WORDS, min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_anls_is_the_thresholded_edit_similarity_to_the_nearest_answer(answer: str, answers: list[str]) -> None:
    def similarity(accepted: str) -> float:
        a, b = (" ".join(text.lower().split()) for text in (answer, accepted))
        value = 1 - Levenshtein.distance(a, b) / max(len(a), len(b), 1)
        return value if value >= 0.5 and a else 0.0

    assert anls(answer, answers) == pytest.approx(max(map(similarity, answers)))


@pytest.mark.parametrize(
    ("answer", "answers", "score"),
    [
        ("0.28", ["0.28"], 1.0),
        (" Acme  LTD ", ["other", "acme ltd"], 1.0),
        ("0.29", ["0.28"], 0.75),  # one of four characters
        ("abxx", ["abcd"], 0.5),  # exactly at the threshold counts
        ("axxx", ["abcd"], 0.0),
        ("", ["abcd"], 0.0),  # could not read it
        (" ", [""], 0.0),
        ("anything", None, None),  # hidden
        ("anything", [], None),
    ],
)
def test_anls_by_hand(answer: str, answers: list[str] | None, score: float | None) -> None:
    assert anls(answer, answers) == score


@pytest.mark.parametrize(
    ("answer", "answers", "score"),
    [
        (" ACME\tLtd ", ["x", "acme ltd"], 1.0),
        ("１２", ["12"], 1.0),  # full-width digits are the same characters under NFKC
        ("STRASSE", ["straße"], 1.0),
        ("1200.00", ["1,200.00"], 0.0),
        ("", ["12"], 0.0),
        ("", [" "], 0.0),
        ("12", None, None),
    ],
)
def test_exact_match_by_hand(answer: str, answers: list[str] | None, score: float | None) -> None:
    assert exact(answer, answers) == score


def test_coverage_by_hand() -> None:
    grid = plain_grid(2, 2, 100, 100)  # four quarters
    shown = torch.tensor([True, False, False, False])  # the upper left one
    assert coverage(grid, shown, [(0.0, 0.0, 0.5, 0.5)]) == pytest.approx(1.0)
    assert coverage(grid, shown, [(0.25, 0.0, 0.75, 0.5)]) == pytest.approx(0.5)
    assert coverage(grid, shown, [(0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)]) == pytest.approx(0.5)
    assert coverage(grid, shown, [(0.6, 0.6, 0.9, 0.9)]) == 0.0
    assert coverage(grid, shown, ()) is None
