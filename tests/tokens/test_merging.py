"""Bipartite soft matching against a transcription in loops, merging by hand, and grids of merged cells."""

import math
from dataclasses import replace

import pytest
import torch

from saccade.geometry.grid import box_coverage, coarse_on, in_boxes, plain_grid, pool
from saccade.geometry.levels import PER_TOKEN
from saccade.tokens.merging import match, merge, merged_grid, pack, pad_groups, slots, strongest, unmerge


def groups(seed: int, lengths: list[int], width: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    make = torch.Generator().manual_seed(seed)
    valid = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), max(lengths), width, generator=make), valid


def transcribed(keys, valid, image, r, threshold=None, fixed=None):
    """ToMe's steps one token at a time: which token (group, place) merges into which."""
    edges = []
    for g in range(len(keys)):
        real = [p for p in range(keys.shape[1]) if valid[g, p] and not (fixed is not None and fixed[g, p])]
        for a in (p for p in real if p % 2 == 0):
            best = None
            for b in (p for p in real if p % 2 == 1):
                x, y = keys[g, a].tolist(), keys[g, b].tolist()
                dot = sum(i * j for i, j in zip(x, y, strict=True))
                cosine = dot / math.sqrt(sum(i * i for i in x)) / math.sqrt(sum(j * j for j in y))
                if best is None or cosine > best[0]:
                    best = (cosine, b)
            if best is not None and (threshold is None or best[0] >= threshold):
                edges.append((-best[0], g, a, best[1]))
    chosen = {}
    for number in set(image.tolist()):
        mine = sorted(edge for edge in edges if image[edge[1]] == number)
        chosen |= {(g, a): (g, b) for _, g, a, b in (mine if r is None else mine[:r])}
    return chosen


@pytest.mark.parametrize(
    ("r", "threshold"), [(0, None), (1, None), (3, None), (6, None), (99, None), (None, 0.3), (2, 0.1)]
)
@pytest.mark.parametrize("lengths", [[9], [8, 5, 1, 2, 7], [1, 1]])
def test_matching_against_loops(lengths, r, threshold):
    keys, valid = groups(len(lengths), lengths)
    image = torch.tensor([g // 2 for g in range(len(lengths))])
    fixed = torch.zeros_like(valid)
    fixed[:, 1 % valid.shape[1]] = len(lengths) == 5
    similarity, partner = match(keys, valid, fixed)
    merged = strongest(similarity, image, r, threshold)
    expected = transcribed(keys, valid, image, r, threshold, fixed)
    found = {(g, a): (g, int(partner[g, a])) for g, a in merged.nonzero().tolist()}
    assert found == expected
    source = slots(partner, merged, valid)
    for g, length in enumerate(lengths):
        stays = [p for p in range(length) if (g, p) not in expected]
        place = [p if (g, p) not in expected else expected[g, p][1] for p in range(length)]
        assert source[g].tolist() == [stays.index(p) for p in place] + [-1] * (max(lengths) - length)


def test_two_tokens_may_merge_into_one():
    """No one-to-one assignment (Hungarian): both even tokens are most like the first odd one, and both go there."""
    keys = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [-1.0, 0.0]]])
    valid = torch.ones(1, 4, dtype=torch.bool)
    similarity, partner = match(keys, valid)
    merged = strongest(similarity, torch.tensor([0]), 2)
    assert slots(partner, merged, valid).tolist() == [[0, 0, 0, 1]]


def test_a_mean_by_size_counts_what_was_merged_before():
    """A token that stands for three (value 1) and a single one (value 5): 2, where the plain mean says 3."""
    values, size = torch.tensor([[1.0], [5.0], [7.0]]), torch.tensor([3.0, 1.0, 1.0])
    into = torch.tensor([0, 0, 1])
    assert merge(values, into, size, 2).tolist() == [[2.0], [7.0]]
    # merging in two steps is merging at once
    first = merge(torch.tensor([0.0, 4.0, 8.0, 1.0]), torch.tensor([0, 0, 1, 2]), torch.ones(4), 3)
    then = merge(first, torch.tensor([0, 0, 1]), torch.tensor([2.0, 1.0, 1.0]), 2)
    assert then.tolist() == [4.0, 1.0]


def test_nothing_merged_is_the_identity_bit_by_bit():
    values = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    for kind in (torch.float32, torch.bfloat16):
        into, size = torch.arange(7), torch.rand(7) + 0.1
        assert torch.equal(merge(values.to(kind), into, size, 7), values.to(kind))
        assert torch.equal(unmerge(values.to(kind), into), values.to(kind))


def test_unmerge_gives_each_token_its_slot_and_dropped_ones_nothing():
    into = torch.tensor([1, -1, 0, 1])
    slot = merge(torch.tensor([2.0, 9.0, 5.0, 2.0]), into, torch.ones(4), 2)
    assert slot.tolist() == [5.0, 2.0]
    assert unmerge(slot, into).tolist() == [2.0, 0.0, 5.0, 2.0]


def test_packed_and_padded():
    owner = torch.tensor([4, 4, 7, 4, 7])
    index, valid = pad_groups(owner)
    assert index.tolist() == [[0, 1, 3], [2, 4, 0]] and valid.tolist() == [[True] * 3, [True, True, False]]
    into, num = pack(torch.tensor([[0, 0, 1], [-1, 0, -1]]), valid, index)
    assert into.tolist() == [0, 0, -1, 1, 2] and num == 3


def test_a_merged_grid_by_hand():
    """2 x 4 cells: (0,0)+(0,1)+(1,0) merge, (0,3)+(1,3) merge, (1,2) is dropped."""
    grid = plain_grid(2, 4, 64, 32)
    into = torch.tensor([3, 3, 1, 0, 3, 2, -1, 0])
    made, order = merged_grid(grid, into, 4)
    assert order.tolist() == [3, 1, 2, 0]  # raster order of where they stand
    assert made.source.tolist() == [0, 0, 1, 3, 0, 2, -1, 3]
    centre = [[(0.125 + 0.375 + 0.125) / 3, (0.25 + 0.25 + 0.75) / 3], [0.625, 0.25], [0.375, 0.75], [0.875, 0.5]]
    torch.testing.assert_close(made.centre_uv, torch.tensor(centre))
    torch.testing.assert_close(made.extent_uv, torch.tensor([[0.5, 1.0], [0.25, 0.5], [0.25, 0.5], [0.25, 1.0]]))
    assert made.row.tolist() == [0, 0, 1, 1] and made.col.tolist() == [0, 2, 1, 3]
    assert (made.rows, made.cols) == (2, 4) and made.level.tolist() == [0] * 4
    same, where = merged_grid(grid, torch.arange(8), 8)
    assert same is grid and torch.equal(where, torch.arange(8))


def test_a_merged_token_covers_its_cells_and_not_what_lies_between():
    grid, _ = merged_grid(plain_grid(1, 4, 64, 16), torch.tensor([0, 1, 2, 0]), 3)  # first and last cell are one token
    shown = torch.zeros(3, dtype=torch.bool)
    shown[grid.source[0]] = True
    assert box_coverage(grid, shown, [(0.0, 0.0, 0.5, 1.0)]) == pytest.approx(0.5)
    assert box_coverage(grid, shown, [(0.25, 0.0, 0.75, 1.0)]) == 0.0
    assert in_boxes(grid, [(0.8, 0.2, 0.9, 0.3)]).tolist() == shown.tolist()
    values = torch.tensor([[1.0, 5.0, 6.0, 3.0]]).numpy()
    pooled = pool(values, grid)
    assert pooled[grid.source[0]] == 2.0 and sorted(pooled.tolist()) == [2.0, 5.0, 6.0]


def test_dropped_cells_are_never_covered():
    grid, _ = merged_grid(plain_grid(1, 4, 64, 16), torch.tensor([0, -1, -1, 1]), 2)
    everything = torch.ones(2, dtype=torch.bool)
    assert box_coverage(grid, everything, [(0.0, 0.0, 1.0, 1.0)]) == pytest.approx(0.5)


def test_merged_tokens_beside_coarser_ones():
    """Level 0 of two tokens (three of four cells, and the last), level 1 of one over the whole page."""
    fine, _ = merged_grid(plain_grid(1, 4, 64, 16), torch.tensor([0, 0, 0, 1]), 2)
    coarse = coarse_on(plain_grid(1, 1, 16, 16), fine)
    both = replace(fine, **{k: torch.cat([getattr(fine, k), getattr(coarse, k)]) for k in PER_TOKEN})
    values = torch.tensor([[1.0, 2.0, 3.0, 8.0]]).numpy()
    assert pool(values, both).tolist() == [2.0, 8.0, 3.5]
    assert in_boxes(both, [(0.8, 0.0, 0.9, 1.0)]).tolist() == [False, True, True]
    assert box_coverage(both, torch.tensor([True, False, True]), [(0.0, 0.0, 1.0, 1.0)]) == pytest.approx(0.75)
