"""Pyramid sampling against a loop over levels, and by hand."""

from dataclasses import replace

import pytest
import torch

from saccade.geometry.levels import counts
from saccade.samplers.pyramid import Pyramid
from saccade.samplers.topk import TopK
from saccade.types import Scene
from tests.helpers import importance_of, item
from tests.levels import pyramid_item

GAZE = torch.tensor([[0.5, 0.5]])


def per_level(sampler: Pyramid, scene: Scene, importance: torch.Tensor, keep: int) -> list[int]:
    selection = sampler(scene, importance, GAZE, keep)[0]
    return torch.bincount(scene.level[0, selection.index], minlength=4).tolist()


def test_the_seeds_page_in_both_orders() -> None:
    """1024 x 1024 px at four levels: 4096 + 1024 + 256 + 64 tokens, 273 kept."""
    scene = Scene.of([pyramid_item(64, 64, levels=4)])
    assert torch.bincount(scene.level[0]).tolist() == [4096, 1024, 256, 64]
    importance = importance_of(5440)
    assert per_level(Pyramid(), scene, importance, 273) == [35, 70, 104, 64]  # 109 > 64: the seed breaks
    assert per_level(Pyramid(order="fine_first"), scene, importance, 273) == [109, 82, 55, 27]


@pytest.mark.parametrize("order", ["coarse_first", "fine_first"])
@pytest.mark.parametrize("keep", [0, 1, 7, 20, 60, 90, 200])
def test_it_is_the_top_of_each_level(order: str, keep: int) -> None:
    scene = Scene.of([pyramid_item(8, 8, levels=3, seed=3)])
    importance = importance_of(84, seed=5)
    shares = [0.4, 0.3, 0.2] if order == "fine_first" else [0.2, 0.3, 0.4]
    quota = counts(torch.tensor([shares]), keep, torch.tensor([[64, 16, 4]]))[0].tolist()
    expected: list[int] = []
    for level, number in enumerate(quota):
        inside = [i for i in range(84) if scene.level[0, i] == level]
        expected += sorted(inside, key=lambda i: -float(importance[0, i]))[:number]
    found = Pyramid(order=order)(scene, importance, GAZE, keep)[0]  # type: ignore[arg-type]
    assert found.index.tolist() == sorted(expected)
    assert len(found) == min(keep, 84)


def test_a_second_look_takes_the_next_of_each_level() -> None:
    scene, importance = Scene.of([pyramid_item(8, 8, levels=2)]), importance_of(80)
    sampler = Pyramid(shares=(0.5, 0.5))
    shown = torch.zeros(1, 80, dtype=torch.bool)
    looks = []
    for _ in range(3):
        selection = sampler(scene.without(shown), importance, GAZE, 12)[0]
        shown[0, selection.index] = True
        looks.append(torch.bincount(scene.level[0, selection.index], minlength=2).tolist())
    assert looks == [[6, 6], [6, 6], [8, 4]]  # the coarse level has 16


def test_with_one_level_it_is_top_k() -> None:
    scene, importance = Scene.of([item(7, 9)]), importance_of(63)
    assert torch.equal(Pyramid()(scene, importance, GAZE, 20)[0].index, TopK()(scene, importance, GAZE, 20)[0].index)


def test_a_batch_of_different_heights_is_each_alone() -> None:
    items = [pyramid_item(8, 8, levels=3), item(6, 6, seed=1), pyramid_item(5, 7, levels=2, seed=2)]
    sizes = [84, 36, 35 + 8]
    importance, gazes = importance_of(*sizes), GAZE.expand(3, 2)
    for order in ("coarse_first", "fine_first"):
        sampler = Pyramid(order=order)  # type: ignore[arg-type]
        together = sampler(Scene.of(items), importance, gazes, 21)
        for b, size in enumerate(sizes):
            alone = sampler(Scene.of([items[b]]), importance[b : b + 1, :size], GAZE, 21)[0]
            assert torch.equal(together[b].index, alone.index)


def test_a_budgets_shares_overrule_its_own() -> None:
    scene = Scene.of([pyramid_item(8, 8, levels=3)])
    scene = replace(scene, shares=torch.tensor([[0.0, 1.0, 0.0]]))
    assert per_level(Pyramid(), scene, importance_of(84), 10) == [0, 10, 0, 0]
    fewer = replace(scene, shares=torch.tensor([[1.0]]))  # nothing is said of the other levels
    assert per_level(Pyramid(), fewer, importance_of(84), 10) == [10, 0, 0, 0]
