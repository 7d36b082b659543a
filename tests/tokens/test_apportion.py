"""Seats by mass: against the sequential rule of Sainte-Lague, and worked by hand."""

import pytest
import torch

from saccade.tokens.apportion import apportion, rank_within


def one_by_one(score: list[float], owner: list[int], mass: list[float], keep: int) -> set[int]:
    """Each seat in turn to the owner with the highest mass / (2 seats + 1) that has a token left."""
    left = {o: sorted((t for t in range(len(score)) if owner[t] == o), key=lambda t: -score[t]) for o in set(owner)}
    seats, chosen = dict.fromkeys(left, 0), set()
    for _ in range(min(keep, len(score))):
        able = [o for o in left if left[o]]
        best = max(able, key=lambda o: (mass[o] / (2 * seats[o] + 1), score[left[o][0]]))
        chosen.add(left[best].pop(0))
        seats[best] += 1
    return chosen


@pytest.mark.parametrize("keep", [0, 1, 5, 17, 59, 60, 80])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_sequential_rule(keep: int, seed: int) -> None:
    make = torch.Generator().manual_seed(seed)
    score, owner = torch.rand(60, generator=make), torch.randint(0, 5, (60,), generator=make)
    mass = torch.rand(5, generator=make) ** 3
    chosen = apportion(score, owner, mass, keep)
    assert int(chosen.sum()) == min(keep, 60)
    expected = one_by_one(score.tolist(), owner.tolist(), mass.double().tolist(), keep)
    assert set(chosen.nonzero().flatten().tolist()) == expected


def test_by_hand() -> None:
    """Masses 6 : 3 : 1 share 10 seats as 6, 3, 1; with two tokens only, the first's four others go to the rest."""
    owner = torch.arange(3).repeat_interleave(10)
    score = torch.rand(30, generator=torch.Generator().manual_seed(0))
    chosen = apportion(score, owner, torch.tensor([6.0, 3.0, 1.0]), 10)
    assert [int(chosen[owner == o].sum()) for o in range(3)] == [6, 3, 1]
    few = torch.cat([owner[:2], owner[10:]])
    chosen = apportion(score[: len(few)], few, torch.tensor([6.0, 3.0, 1.0]), 10)
    assert [int(chosen[few == o].sum()) for o in range(3)] == [2, 6, 2]
    assert int(apportion(score, owner, torch.zeros(3), 9)[:10].sum()) == 3, "nobody has any mass: equal"


def test_rank_within() -> None:
    found = rank_within(torch.tensor([0.2, 0.9, 0.9, 0.1, 0.5]), torch.tensor([0, 1, 1, 0, 0]))
    assert found.tolist() == [1, 0, 1, 2, 0]
