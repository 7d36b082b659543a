"""Level budgets by difficulty: the tables, exact sums, and that a question can be easy."""

import math
from dataclasses import replace

import pytest
import torch

from saccade.budgets.difficulty import Difficulty
from saccade.datasets import Dataset
from saccade.geometry.levels import counts
from saccade.registry import load
from saccade.types import Query, Scene
from tests.levels import pyramid_item

ROOM = torch.tensor([[4096, 1024, 256, 64]])


def asking(text: str, words: torch.Tensor | None = None, levels: int = 4) -> Scene:
    picture, encoding, query = pyramid_item(8, 8, levels=levels)
    tokens = query.tokens if words is None else words
    return Scene.of([(picture, encoding, Query(text, tokens, torch.ones(len(tokens))))])


def test_the_difficulty_by_hand() -> None:
    """Two words at right angles: their mean has length sqrt(1/2), the spread is 0.2929."""
    scene = asking("What total now", torch.eye(6)[:2])
    expected = 1 / (1 + math.exp(-(0.5 * (3 - 5) + 2.0 * (1 - math.sqrt(0.5) - 0.55))))
    assert float(Difficulty().difficulty(scene)[0]) == pytest.approx(expected, abs=1e-6)


def test_the_tables_of_the_seed() -> None:
    words = torch.eye(6)[:2]
    found = {
        name: Difficulty().shares(asking(" ".join(["word"] * number), words))[0].tolist()
        for name, number in (("easy", 2), ("medium", 5), ("hard", 12))
    }
    assert found["easy"] == pytest.approx([0.15, 0.20, 0.35, 0.30])
    assert found["medium"] == pytest.approx([0.25, 0.30, 0.25, 0.20])
    assert found["hard"] == pytest.approx([0.35, 0.30, 0.20, 0.15])


@pytest.mark.parametrize("number", [2, 5, 12])
@pytest.mark.parametrize("keep", [1, 7, 273, 320, 1000])
def test_counts_sum_to_the_budget(number: int, keep: int) -> None:
    """The seed truncates: 0.15 x 273 and so on become 40 + 54 + 95 + 81 = 270."""
    shares = Difficulty().shares(asking(" ".join(["word"] * number)))
    assert int(counts(shares, keep, ROOM).sum()) == keep
    assert sum(int(share * 273) for share in Difficulty().easy) == 270


def test_easy_medium_and_hard_occur_among_real_questions() -> None:
    """The seed's sigmoid(0.1 length + 10 variance) cannot go below 0.5, so its easy table is never used."""
    rows = load("datasets", {"name": "synthdoc", "page_px": 512}, Dataset).rows()
    texts = sorted({question.text for _, row in zip(range(30), rows, strict=False) for question in row.questions})
    words = torch.randn(len(texts), 12, 32, generator=torch.Generator().manual_seed(0))
    budget = Difficulty()
    found = torch.tensor([float(budget.difficulty(asking(text, words[i]))[0]) for i, text in enumerate(texts)])
    easy, hard = (found < budget.easy_below).float().mean(), (found >= budget.hard_above).float().mean()
    assert easy > 0.1
    assert hard > 0.03
    assert 1 - easy - hard > 0.2
    seeds = torch.sigmoid(0.1 * torch.tensor([len(text.split()) for text in texts]) + 10 * words.var((1, 2)))
    assert (seeds < 0.3).sum() == 0


def test_fewer_levels_take_the_first_shares() -> None:
    shares = Difficulty().shares(asking("word word", levels=2))
    assert shares[0].tolist() == pytest.approx([0.15 / 0.35, 0.20 / 0.35])


def test_each_image_has_its_own_question() -> None:
    items = []
    for text in ("word word", " ".join(["word"] * 12)):
        picture, encoding, query = pyramid_item(8, 8, levels=4)
        items.append((picture, encoding, replace(query, text=text)))
    shares = Difficulty().shares(Scene.of(items))
    assert shares[:, 0].tolist() == pytest.approx([0.15, 0.35])
