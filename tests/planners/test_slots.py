"""Slots: everything coarsely first, then slot after slot, each shown as it is."""

import torch

from saccade.planners.slots import Slots
from saccade.samplers.slots import Slots as Merging
from saccade.types import Scene, Step
from tests.helpers import answer, item


def four_quarters() -> Scene:
    """8 x 8 tokens, each quarter of the page of its own kind."""
    make = torch.Generator().manual_seed(0)
    row, col = torch.arange(64) // 8, torch.arange(64) % 8
    kinds = torch.eye(6)[:4] * 4
    tokens = kinds[row // 4 * 2 + col // 4] + 0.5 * torch.randn(64, 6, generator=make)
    return Scene.of([item(8, 8, tokens=tokens)])


def quarter(uv: tuple[float, float]) -> int:
    return int(uv[1] >= 0.5) * 2 + int(uv[0] >= 0.5)


def score(scene: Scene) -> torch.Tensor:
    """The second quarter is most important, then the third, then the others."""
    row, col = scene.row // 4, scene.col // 4
    worth = torch.tensor([0.2, 1.0, 0.6, 0.1])[row * 2 + col]
    return worth - 0.001 * (scene.row + scene.col)


def looks(keep: int, num: int) -> list[Step]:
    """An episode's loop with the merging sampler."""
    scene, sampler, steps = four_quarters(), Merging(side=2), []
    flow, taken = Slots(side=2).flow(scene, score), torch.zeros(1, 64, dtype=torch.bool)
    gaze = next(flow)
    for _ in range(num):
        chosen = sampler(scene.without(taken), gaze.importance.unsqueeze(0), torch.tensor([gaze.uv]), keep)[0]
        taken[0, chosen.index] = True
        steps.append(Step(gaze, chosen, answer()))
        gaze = flow.send(steps[-1])
    return steps


def test_coarse_everywhere_first_then_slot_by_slot():
    first, *others = looks(keep=14, num=4)
    assert first.gaze.reason == "all slots, coarsely"
    assert {quarter(uv) for uv in four_quarters().centre_uv[0, first.selection.index].tolist()} == {0, 1, 2, 3}
    assert (first.selection.source >= 0).all() and first.selection.merges
    assert [quarter(step.gaze.uv) for step in others] == [1, 2, 0]  # by importance left
    for step in others:
        at = {quarter(uv) for uv in four_quarters().centre_uv[0, step.selection.index].tolist()}
        assert quarter(step.gaze.uv) in at
    refined = others[0].selection
    inside = torch.tensor([quarter(uv) == 1 for uv in four_quarters().centre_uv[0].tolist()])
    left = inside.clone()
    left[first.selection.index] = False
    assert set(left.nonzero().flatten().tolist()) <= set(refined.index.tolist()) | set(first.selection.sharp.tolist())
    assert set(refined.sharp.tolist()) >= set(left.nonzero().flatten().tolist())  # as they are


def test_a_slot_too_large_for_one_look_is_looked_at_again():
    _, second, third = looks(keep=6, num=3)
    assert quarter(second.gaze.uv) == quarter(third.gaze.uv) == 1
    assert second.gaze.uv != third.gaze.uv and "slot" in third.gaze.reason


def test_other_slots_have_no_importance():
    _, second = looks(keep=14, num=2)
    inside = second.gaze.importance > 0
    assert {quarter(uv) for uv in four_quarters().centre_uv[0, inside].tolist()} == {1}
