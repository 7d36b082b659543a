"""VQA accuracy: the normalisation case by case, the mean over all ways to leave one person out."""

import itertools
import random
from statistics import mean

import pytest

from saccade.metrics.vqa import normalised, vqa


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The Dog.", "dog"),
        ("a red  BUS\n", "red bus"),
        ("Two", "2"),
        ("none", "0"),
        ("1,000", "1000"),
        ("3.5", "3.5"),
        ("3.", "3"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("yall'll", "y'all'll"),
        ("ill", "ill"),  # the official table leaves it
        ("well-known", "well known"),
        ("stop / go", "stop go"),
        ("What?", "what"),
        ("it's", "it 's"),
        ("the", ""),
    ],
)
def test_normalisation(text: str, said: str) -> None:
    assert " ".join(normalised(text).split()) == said and normalised(text) == " ".join(normalised(text).split())


def test_it_is_the_mean_over_all_nine_of_ten() -> None:
    r = random.Random(0)
    for _ in range(200):
        people = [r.choice("pqrst") for _ in range(10)]
        answer = r.choice("pqrstx")
        nines = [min(1.0, nine.count(answer) / 3) for nine in itertools.combinations(people, 9)]
        assert vqa(answer, people) == pytest.approx(mean(nines))


def test_by_hand() -> None:
    assert vqa("Blue", ["blue"] * 4 + ["red"] * 6) == 1.0
    assert vqa("blue", ["blue"] * 3 + ["red"] * 7) == pytest.approx(0.9)  # 3 x 2/3 and 7 x 1
    assert vqa("blue", ["blue"] + ["red"] * 9) == pytest.approx(0.3)  # 0 and 9 x 1/3
    assert vqa("a blue", ["the blue"]) == 1.0 and vqa("blue", ["red"]) == 0.0
    assert vqa("", ["red"] * 10) == 0.0
    assert (
        vqa("A", ["a"] * 10) == 1.0 and vqa("A", ["b"] * 10) == 0.0
    )  # an article is an answer where a letter is asked
    assert vqa("", ["a"] * 10) == 0.0
    assert vqa("red", None) is None and vqa("red", []) is None
