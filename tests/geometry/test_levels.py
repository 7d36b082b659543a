"""Levels: stacking, and shares to whole numbers."""

from dataclasses import replace

import pytest
import torch

from saccade.geometry.grid import box_coverage, plain_grid
from saccade.geometry.levels import counts, fit_shares, level_tok, num_levels, stack
from saccade.types import Part, Scene, Selection
from tests.helpers import item
from tests.levels import pyramid_item


def by_hand(shares: list[float], keep: int, room: list[int]) -> list[int]:
    """Hamilton's method with overflow, one image, in plain Python."""
    keep, got, open_ = min(keep, sum(room)), [0.0] * len(room), set(range(len(room)))
    while open_:
        left = keep - sum(got[i] for i in range(len(room)) if i not in open_)
        weight = {i: shares[i] for i in open_}
        if not sum(weight.values()):
            weight = {i: float(room[i]) for i in open_}
        ideal = {i: left * weight[i] / sum(weight.values()) if sum(weight.values()) else 0.0 for i in open_}
        over = {i for i in open_ if ideal[i] >= room[i]}
        for i in open_:
            got[i] = float(room[i]) if i in over else ideal[i]
        if not over:
            break
        open_ -= over
    whole = [int(value + 1e-9) for value in got]
    order = sorted(range(len(room)), key=lambda i: (-round(got[i] - whole[i], 9), i))
    for i in order[: keep - sum(whole)]:
        whole[i] += 1
    return whole


def test_the_seeds_overflow_is_redistributed() -> None:
    """40 % of 273 is 109 tokens of a level that has 64: the seed's topk raises. 45 go to the others as 3 : 2 : 1."""
    room = torch.tensor([[4096, 1024, 256, 64]])
    found = counts(torch.tensor([[0.1, 0.2, 0.3, 0.4]]), 273, room)
    assert found.tolist() == [[35, 70, 104, 64]]  # 34.83, 69.67, 104.5: the two largest remainders round up
    assert counts(torch.tensor([[0.4, 0.3, 0.2, 0.1]]), 273, room).tolist() == [[109, 82, 55, 27]]


@pytest.mark.parametrize("seed", range(40))
def test_counts_are_whole_and_sum_to_the_budget(seed: int) -> None:
    make = torch.Generator().manual_seed(seed)
    shares = torch.rand(8, 4, generator=make).round(decimals=2)
    shares[torch.rand(8, 4, generator=make) < 0.2] = 0
    room = torch.randint(0, 60, (8, 4), generator=make)
    keep = int(torch.randint(0, 150, (1,), generator=make))
    found = counts(shares, keep, room)
    assert (found >= 0).all()
    assert (found <= room).all()
    assert torch.equal(found.sum(-1), room.sum(-1).clamp(max=keep))
    assert found.tolist() == [
        by_hand(*row) for row in zip(shares.double().tolist(), [keep] * 8, room.tolist(), strict=True)
    ]


def test_levels_without_a_share_give_what_no_other_can() -> None:
    assert counts(torch.tensor([[1.0, 0.0, 0.0]]), 9, torch.tensor([[3, 8, 4]])).tolist() == [[3, 4, 2]]
    assert counts(torch.tensor([[0.0, 0.0]]), 4, torch.tensor([[6, 2]])).tolist() == [[3, 1]]


def test_fit_shares() -> None:
    table = torch.tensor([[0.2, 0.3, 0.5]])
    assert torch.allclose(fit_shares(table, 2), torch.tensor([[0.4, 0.6]]))
    assert torch.allclose(fit_shares(table, 4), torch.tensor([[0.2, 0.3, 0.5, 0.0]]))
    assert torch.allclose(fit_shares(torch.tensor([[0.0, 0.0, 1.0]]), 2), torch.tensor([[0.5, 0.5]]))


def test_level_tok_halves_the_sides() -> None:
    grid = plain_grid(64, 48, 768, 1024)
    assert [level_tok(grid, level) for level in range(4)] == [64 * 48, 32 * 24, 16 * 12, 8 * 6]
    assert level_tok(plain_grid(1, 9, 9, 1), 2) == 2


def test_a_stack_is_one_encoding_on_one_canvas() -> None:
    one, half = item(4, 6)[1], item(2, 3, seed=1)[1]
    both = stack([one, half])
    grid = both.grid
    assert len(both) == len(grid) == 24 + 6
    assert (grid.rows, grid.cols, grid.width_px, grid.height_px) == (4, 6, 96, 64)
    assert grid.level.tolist() == [0] * 24 + [1] * 6
    # The middle of the first coarse token of 2 x 3 is (1/4, 1/6): row 1 of 4, column 1 of 6.
    assert (grid.row[24:].tolist(), grid.col[24:].tolist()) == ([1, 1, 1, 3, 3, 3], [1, 3, 5, 1, 3, 5])
    assert torch.equal(both.tokens[24:], half.tokens)
    assert both.num_patches == one.num_patches + half.num_patches
    assert torch.equal(both.received[:24], one.received)
    assert torch.allclose(both.received[24:], half.received * 6 / 24)  # an average over 6 becomes one over 24
    assert stack([one]) is one


def test_a_stack_carries_deepstack_levels() -> None:
    def deep(rows: int, cols: int) -> object:
        encoding = item(rows, cols)[1]
        return replace(encoding, deepstack=torch.ones(len(encoding), 2, 6) * rows)

    both = stack([deep(4, 4), deep(2, 2)])  # type: ignore[list-item]
    assert both.deepstack is not None
    assert both.deepstack[:, 0, 0].tolist() == [4.0] * 16 + [2.0] * 4


def test_part_keys_differ_between_levels() -> None:
    """The same cells, another level: other tokens, so another key."""
    _, both, _ = pyramid_item(4, 4, levels=3)
    _, two, _ = pyramid_item(4, 4, levels=2)
    one = item(4, 4)[1]
    first = torch.arange(4)
    parts = [
        Part.of(one, Selection.keep(first, 16)),
        Part.of(two, Selection.keep(first, 20)),
        Part.of(two, Selection.keep(first + 16, 20)),
        Part.of(both, Selection.keep(first + 16, 21)),
        Part.of(both, Selection.keep(torch.tensor([20]), 21)),
        Part.of(one),
        Part.of(two),
        Part.of(both),
    ]
    assert len({part.key for part in parts}) == len(parts)
    assert torch.equal(parts[0].tokens, parts[1].tokens)


def test_coverage_counts_full_resolution_only() -> None:
    grid = pyramid_item(4, 4, levels=2)[1].grid
    shown = torch.zeros(20, dtype=torch.bool)
    shown[16:] = True  # the whole page, coarsely
    assert box_coverage(grid, shown, [(0.0, 0.0, 1.0, 1.0)]) == 0
    shown[:8] = True
    assert box_coverage(grid, shown, [(0.0, 0.0, 1.0, 1.0)]) == pytest.approx(0.5)


def test_a_scene_knows_the_level_of_each_token() -> None:
    scene = Scene.of([pyramid_item(4, 4, levels=2), item(3, 3)])
    assert scene.level.tolist() == [[0] * 16 + [1] * 4, [0] * 20]
    assert num_levels(scene) == 2
    assert scene.shares is None
