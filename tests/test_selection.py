"""Selections that merge: means, places, keys and what counts as shown, by hand and against loops."""

from dataclasses import replace

import pytest
import torch

from saccade.geometry.grid import plain_grid
from saccade.metrics.coverage import coverage
from saccade.types import Part, Selection
from tests.helpers import item


def merged(source: list[int], index: list[int], weight: list[float] | None = None) -> Selection:
    shares = None if weight is None else torch.tensor(weight)
    return Selection(torch.tensor(index), torch.tensor(source), shares)


ENCODING = item(2, 4)[1]
"""Cells:  0 1 2 3
           4 5 6 7"""
LOOK = merged([0, 0, -1, 2, 0, 1, -1, 2], [0, 5, 7])  # 0, 1 and 4 are one; 5 is alone; 3 and 7 are one


def test_a_merged_token_is_the_mean_of_its_slot_at_the_floor_of_its_centre():
    part = Part.of(ENCODING, LOOK)
    by_hand = torch.stack(
        [ENCODING.tokens[[0, 1, 4]].mean(0), ENCODING.tokens[5], (ENCODING.tokens[3] + ENCODING.tokens[7]) / 2]
    )
    torch.testing.assert_close(part.tokens, by_hand)
    assert torch.equal(part.tokens[1], ENCODING.tokens[5])  # alone: to the last bit
    # Centres (x, y): (0.5 + 1.5 + 0.5) / 3 = 0.83 and (0.5 + 0.5 + 1.5) / 3 = 0.83; 3.5 and (0.5 + 1.5) / 2 = 1.
    assert part.row.tolist() == [0, 1, 1] and part.col.tolist() == [0, 1, 3]
    assert LOOK.counts.tolist() == [3, 1, 2] and LOOK.merges


def test_weights_pull_the_mean_and_the_place():
    look = merged([0, 0, -1, 2, 0, 1, -1, 2], [0, 5, 7], [1, 6, 1, 3, 1, 0.3, 1, 1])
    part, tokens = Part.of(ENCODING, look), ENCODING.tokens
    torch.testing.assert_close(part.tokens[0], (tokens[0] + 6 * tokens[1] + tokens[4]) / 8)
    torch.testing.assert_close(part.tokens[2], (3 * tokens[3] + tokens[7]) / 4)
    assert torch.equal(part.tokens[1], tokens[5])
    assert part.row.tolist() == [0, 1, 0] and part.col.tolist() == [1, 1, 3]  # x (0.5 + 9 + 0.5) / 8, y (1.5 + 1.5) / 4


@pytest.mark.parametrize("side", [2, 48, 171, 799])
def test_centres_on_a_border_fall_on_the_next_cell_on_any_grid(side):
    grid = plain_grid(1, side, side, 1)
    for left in range(0, side - 1, max(1, side // 50)):
        look = Selection(torch.tensor([left]), torch.full((side,), -1).index_fill(0, torch.tensor([left, left + 1]), 0))
        assert look.cells(grid)[1].item() == left + 1


def test_deepstack_levels_are_merged_like_tokens():
    levels = torch.randn(8, 3, 6, generator=torch.Generator().manual_seed(3)).bfloat16()
    part = Part.of(replace(ENCODING, deepstack=levels, tokens=ENCODING.tokens.bfloat16()), LOOK)
    assert part.deepstack.dtype == part.tokens.dtype == torch.bfloat16
    torch.testing.assert_close(
        part.deepstack[2].float(), (levels[3].float() + levels[7].float()) / 2, rtol=8e-3, atol=0
    )
    assert torch.equal(part.deepstack[1], levels[5])


def test_pruning_is_indexing_and_its_key_hangs_on_nothing_else():
    kept = Selection.keep(torch.tensor([6, 1, 3]), 8)
    part = Part.of(ENCODING, kept)
    assert torch.equal(part.tokens, ENCODING.tokens[[1, 3, 6]]) and not kept.merges
    assert torch.equal(kept.sharp, kept.index)
    weighed = replace(kept, weight=torch.rand(8) + 0.1)  # weights of tokens that stand alone change nothing
    assert Part.of(ENCODING, weighed).key == part.key and torch.equal(Part.of(ENCODING, weighed).tokens, part.tokens)


def test_the_key_hangs_on_the_whole_selection():
    looks = [
        LOOK,
        merged([0, -1, -1, 2, 0, 1, -1, 2], [0, 5, 7]),  # the same index, another source
        merged([0, 0, -1, 2, 0, 1, -1, 2], [0, 5, 7], [1, 6, 1, 3, 1, 1, 1, 1]),
        merged([0, 0, -1, 2, 0, 1, -1, 2], [0, 5, 7], [1, 5, 1, 3, 1, 1, 1, 1]),
        merged([0, -1, -1, -1, -1, 1, -1, 2], [0, 5, 7]),  # pruning
    ]
    assert len({Part.of(ENCODING, look).key for look in looks}) == len(looks)
    assert Part.of(ENCODING, merged(LOOK.source.tolist(), LOOK.index.tolist())).key == Part.of(ENCODING, LOOK).key


def test_means_are_those_of_a_loop():
    make = torch.Generator().manual_seed(0)
    for _ in range(20):
        num = int(torch.randint(1, 40, (1,), generator=make))
        source = torch.randint(-1, max(1, num // 3), (num,), generator=make)
        slots = source[source >= 0].unique()
        if len(slots) == 0:
            continue
        firsts = sorted(int((source == slot).nonzero()[0]) for slot in slots)
        order = {int(source[first]): place for place, first in enumerate(firsts)}
        source = torch.tensor([order.get(int(slot), -1) for slot in source])
        weight, values = torch.rand(num, generator=make) + 0.01, torch.randn(num, 3, generator=make)
        found = Selection(torch.tensor(firsts), source, weight).mean(values)
        for place in range(len(firsts)):
            members = [i for i in range(num) if source[i] == place]
            by_hand = sum(weight[i] * values[i] for i in members) / sum(weight[i] for i in members)
            torch.testing.assert_close(found[place], by_hand)


def test_only_unmerged_tokens_cover_an_answer():
    assert LOOK.sharp.tolist() == [5]
    shown = torch.zeros(8, dtype=torch.bool)
    shown[LOOK.sharp] = True
    whole = (0.0, 0.0, 1.0, 1.0)
    assert coverage(ENCODING.grid, shown, [whole]) == pytest.approx(1 / 8)
