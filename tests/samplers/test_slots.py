"""Slots against loops over tokens, and what their budgets follow."""

import pytest
import torch

from saccade.samplers.dominant import Dominant
from saccade.samplers.slots import LEAST_WEIGHT, Slots
from saccade.tokens.entropy import token_entropy
from saccade.tokens.slots import budgets
from saccade.types import Scene
from tests.helpers import bare, importance_of, item

NOWHERE = torch.zeros(1, 2)


def clustered(unit, place, side, compact, rounds):
    """Slots by their definition, one token at a time."""
    labels = [min(int(y * side), side - 1) * side + min(int(x * side), side - 1) for x, y in place.tolist()]
    for _ in range(rounds):
        members = {s: [i for i, label in enumerate(labels) if label == s] for s in range(side**2)}
        centre = {s: torch.nn.functional.normalize(unit[m].mean(0), dim=0) for s, m in members.items() if m}
        middle = {s: place[m].mean(0) for s, m in members.items() if m}

        def far(i, s, centre=centre, middle=middle):
            apart = float((place[i] - middle[s]).square().sum())
            return 1 - float(unit[i] @ centre[s]) + compact * side**2 * apart

        labels = [min(centre, key=lambda s: (far(i, s), s)) for i in range(len(unit))]  # noqa: B023
    return labels


def by_definition(tokens, place, importance, keep, sampler):
    """For every token the one that stands for it, -1 = dropped."""
    unit, num, side = torch.nn.functional.normalize(tokens, dim=-1), len(tokens), sampler.side
    labels = clustered(unit, place, side, sampler.compact, sampler.rounds)
    wish, size, wanted = ([0.0] * side**2 for _ in range(3))
    for s in range(side**2):
        members = [i for i in range(num) if labels[i] == s]
        if members:
            centre = torch.nn.functional.normalize(unit[members].mean(0), dim=0)
            wish[s] = sum(importance[i] * max(0.0, 1 - float(unit[i] @ centre)) for i in members)
            size[s], wanted[s] = len(members), sum(importance[i] for i in members)
    tensors = torch.tensor([wish]), torch.tensor([size]), torch.tensor([wanted]) > 0
    given = budgets(*tensors, keep)[0].tolist()
    weight, into = [LEAST_WEIGHT + (1 - LEAST_WEIGHT) * value for value in importance], [-1] * num
    for s in range(side**2):
        members = [i for i in range(num) if labels[i] == s]
        if not given[s]:
            continue
        steps = [
            (max(0.0, 1 - float(unit[a] @ unit[b])) * max(weight[a], weight[b]), -number)
            for number, (a, b) in enumerate(zip(members, members[1:], strict=False), start=1)
        ]
        cuts = sorted(-number for _, number in sorted(steps, reverse=True)[: given[s] - 1])
        for start, stop in zip([0, *cuts], [*cuts, len(members)], strict=True):
            run = members[start:stop]
            head = max(run, key=lambda i: (importance[i], -i))
            for i in run:
                into[i] = head
    return into


@pytest.mark.parametrize("side", [1, 3, 16])
def test_few_and_many_slots(side):
    picture, encoding, query = item(20, 20, seed=1)
    scene, importance, sampler = Scene.of([(picture, encoding, query)]), importance_of(400), Slots(side=side)
    found = sampler(scene, importance, NOWHERE, 300)[0]
    place = encoding.grid.centre_uv * torch.tensor(encoding.grid.aspect_uv)
    expected = by_definition(encoding.tokens, place, importance[0].tolist(), 300, sampler)
    assert [int(found.index[s]) if s >= 0 else -1 for s in found.source] == expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("keep", [1, 3, 4, 11, 30, 62, 63, 70])
def test_selection_is_its_definition(keep, seed):
    picture, encoding, query = item(7, 9, seed=seed)
    scene, importance = Scene.of([(picture, encoding, query)]), importance_of(63, seed=seed)
    sampler = Slots(side=2)
    found = sampler(scene, importance, NOWHERE, keep)[0]
    place = encoding.grid.centre_uv * torch.tensor(encoding.grid.aspect_uv)
    expected = by_definition(encoding.tokens, place, importance[0].tolist(), min(keep, 63), sampler)
    assert found.index.tolist() == sorted({i for i in expected if i >= 0})
    assert [int(found.index[s]) if s >= 0 else -1 for s in found.source] == expected
    torch.testing.assert_close(found.weight, LEAST_WEIGHT + (1 - LEAST_WEIGHT) * importance[0])


def two_halves() -> Scene:
    """8 x 8 tokens: blank on the left, all different on the right."""
    tokens = torch.randn(64, 6, generator=torch.Generator().manual_seed(2))
    tokens[torch.arange(64) % 8 < 4] = torch.tensor([3.0, 0, 0, 0, 0, 0])
    return Scene.of([item(8, 8, tokens=tokens)])


def test_budgets_follow_complexity_and_nothing_is_dropped():
    found = Slots(side=2)(two_halves(), torch.ones(1, 64), NOWHERE, 20)[0]
    left = torch.arange(64) % 8 < 4
    assert int(left[found.index].sum()) <= 3 and (found.source >= 0).all()
    assert found.merges and len(found) == 20


def test_a_slot_without_importance_gets_nothing_while_another_can_use_it():
    importance = (torch.arange(64) % 8 >= 4).float().unsqueeze(0)
    found = Slots(side=2, compact=5)(two_halves(), importance, NOWHERE, 20)[0]
    assert (found.index % 8 >= 4).all() and (found.source[torch.arange(64) % 8 < 4] == -1).all()
    more = Slots(side=2, compact=5)(two_halves(), importance, NOWHERE, 40)[0]
    assert len(more) == 40 and len(more.sharp) >= 32  # the right half as it is, the rest goes to the left


def test_budgets_by_hand():
    wish, size = torch.tensor([[6.0, 3.0, 1.0, 0.0]]), torch.tensor([[3.0, 9.0, 9.0, 9.0]])
    wanted = torch.tensor([[True, True, True, False]])
    # One each, then 7 in the proportions 6 : 3 : 1; the first has room for 2 more only, and 5 go 3 : 1 (3.75, 1.25).
    assert budgets(wish, size, wanted, 10)[0].tolist() == [3, 5, 2, 0]
    assert budgets(wish, size, wanted, 2)[0].tolist() == [1, 1, 0, 0]  # too few for one each: 1.2, 0.6, 0.2
    assert budgets(wish, size, wanted, 30)[0].tolist() == [3, 9, 9, 9]


def test_shown_tokens_stay_out():
    scene, shown = bare(6, 6), torch.zeros(1, 36, dtype=torch.bool)
    shown[0, ::3] = True
    found = Slots(side=2)(scene.without(shown), importance_of(36), NOWHERE, 10)[0]
    assert (found.source[::3] == -1).all() and (found.source[~shown[0]] >= 0).all() and len(found) == 10


def checkered(side: int, dims: int) -> torch.Tensor:
    """(side^2, 12) tokens of `dims` axes and their opposites in turn, so that any mean is nearly the common part."""
    number = torch.arange(side**2)
    sign = ((number // side + number) % 2 * 2 - 1).float().unsqueeze(1)
    return sign * torch.eye(12)[number * 5 % dims] + 0.15


@pytest.mark.parametrize("sampler", [Slots(side=2), Dominant(ratio=0.2)], ids=["slots", "dominant"])
def test_a_floor_undoes_means_until_enough_entropy_is_left(sampler):
    """Held to half of what pruning would keep more than merging; as many tokens; other images are judged apart."""
    tokens, other = checkered(8, 12), item(6, 6, tokens=checkered(6, 8))
    scene, importance, nowhere = Scene.of([item(8, 8, tokens=tokens), other]), importance_of(64, 36), torch.zeros(2, 2)
    unit = torch.nn.functional.normalize(tokens, dim=-1)
    free = sampler(scene, importance, nowhere, 5)
    merged, pruned = (float(token_entropy(each)) for each in (free[0].mean(unit), unit[free[0].index]))
    floor = (merged + pruned) / 2 / pruned
    guarded = type(sampler)(**{**sampler.dump(), "floor": floor})
    held = guarded(scene, importance, nowhere, 5)
    assert merged < floor * pruned <= float(token_entropy(held[0].mean(unit))) + 1e-5
    assert torch.equal(held[0].index, free[0].index) and (held[0].source < 0).any(), "what is not averaged is gone"
    assert torch.equal(held[1].source, guarded(Scene.of([other]), importance[1:, :36], nowhere[1:], 5)[0].source)
