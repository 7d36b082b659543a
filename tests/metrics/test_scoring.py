"""The other metrics by hand, and the list of them all."""

import pytest

from saccade.errors import UnknownName
from saccade.metrics.contains import contains, formula
from saccade.metrics.exact import words
from saccade.metrics.relaxed import relaxed
from saccade.metrics.scoring import METRICS, metric, score, title
from saccade.types import Question


@pytest.mark.parametrize(
    ("answer", "accepted", "worth"),
    [
        ("14", "14", 1.0),
        ("14.7", "14", 1.0),  # 5 % off
        ("14.71", "14", 0.0),
        ("13.3", "14", 1.0),
        ("-13.5", "-14", 1.0),
        ("14", "-14", 0.0),
        ("51%", "0.5", 1.0),
        ("50", "50%", 0.0),
        ("13.395", "14.1", 0.0),  # 5.000000000000001 % off, as the published evaluation computes it: it divides
        ("14.805", "14.1", 0.0),
        ("0", "0", 1.0),
        ("0.0", "0", 0.0),  # texts are compared where the right number is 0
        ("yes", "Yes", 1.0),
        ("yes, it is", "yes", 0.0),
        ("fourteen", "14", 0.0),
        ("", "14", 0.0),
    ],
)
def test_relaxed(answer: str, accepted: str, worth: float) -> None:
    assert relaxed(answer, [accepted]) == worth
    assert relaxed(answer, ["x", accepted]) == worth


def test_contains() -> None:
    assert contains("It says CENTRE.", ["centre"]) == 1.0 and contains("cent re", ["centre"]) == 0.0
    assert contains("a\nb", ["A B"]) == 1.0
    assert contains("anything", [""]) == 0.0, "an empty text is in every answer"
    assert formula(r"\frac {a} { b }", [r"\frac{a}{b}"]) == 1.0 and formula("A", ["a"]) == 0.0
    assert contains("x", None) is None and formula("x", ()) is None


def test_exact_words() -> None:
    assert words("On the left.", ["on the left"]) == 1.0 and words("on left", ["on the left"]) == 0.0
    assert words("...", ["no"]) == 0.0 and words("no", None) is None


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_knows_right_wrong_and_hidden(name: str) -> None:
    """Also in ten people's answers."""
    right, hidden = Question("q", "?", ("blue",) * 10, metric=name), Question("q", "?", None, metric=name)
    assert (score("blue", right), score("zzzz", right), score("", right)) == (1.0, 0.0, 0.0)
    assert score("blue", hidden) is None


def test_names() -> None:
    with pytest.raises(UnknownName, match="no metric 'bleu'. There are: anls, vqa, relaxed"):
        metric("bleu")
    assert title([None, "anls"]) == title([]) == "ANLS"
    assert title(["contains", "formula", "contains"]) == "contains and formula"
