"""Slots: tokens that belong together, and how one slot's tokens become a few runs of like ones. Batched.

A slot is a cluster of tokens alike in their features and near each other, as superpixels are of pixels (SLIC: Achanta
et al. 2012): k-means that starts from a grid of cells and stops after a few rounds.
"""

import torch
from torch import Tensor

from saccade.geometry.levels import counts
from saccade.tokens.diversity import rows
from saccade.types import cells_at

INDEX_BITS, SCORE_BITS = 20, 31  # of a sorting key below 2^63: a token's number, a float >= 0; 256 slots fit


def cluster(unit: Tensor, place: Tensor, valid: Tensor, side: int, compact: float, rounds: int) -> Tensor:
    """(B, N) int64 slots in [0, side^2) of tokens with features `unit` (B, N, d) of length 1; side^2 if not `valid`.

    `place` (B, N, 2) is in units of the page's longer side. It starts from square cells, `side` of them along that
    side; slots beyond the shorter one stay empty. In each of the `rounds` a token goes to the slot with the smallest
    1 - cosine + compact * (distance in cells)^2 to the slot's mean, ties to the lower.
    """
    row, col = cells_at(place, side, side)
    label = (row * side + col).masked_fill(~valid, side**2)
    table = torch.cat([unit, place, torch.ones_like(place[..., :1])], -1)  # one product instead of three
    pull = compact * side**2
    for _ in range(rounds):
        total = members(label, side**2).to(unit.dtype) @ table  # (B, S, d + 3)
        size = total[..., -1:]
        centre = torch.nn.functional.normalize(total[..., :-3], dim=-1)
        middle = total[..., -3:-1] / size.clamp(min=1)
        # |p - m|^2 = |p|^2 - 2 p.m + |m|^2, of which |p|^2 is the same for all slots
        aim = torch.cat([centre, 2 * pull * middle, -pull * middle.square().sum(-1, keepdim=True)], -1)
        near = table @ aim.mT  # (B, N, S)
        near.masked_fill_((size == 0).mT, float("-inf"))
        label = near.argmax(-1).masked_fill_(~valid, side**2)
    return label


def members(label: Tensor, num_slots: int) -> Tensor:
    """(B, S, N) bool: which tokens (B, N) are in each slot."""
    return label.unsqueeze(1) == torch.arange(num_slots, device=label.device).view(1, -1, 1)


def complexity(unit: Tensor, label: Tensor, weight: Tensor, num_slots: int) -> tuple[Tensor, Tensor]:
    """Of each slot (B, S): the weighted sum of 1 - cosine of its tokens to their mean, and how many they are."""
    inside = members(label, num_slots).to(unit.dtype)
    centre = torch.nn.functional.normalize(inside @ unit, dim=-1)
    near = (unit @ centre.mT).mT.mul_(inside).sum(1)  # (B, N) with each token's own slot
    far = (1 - near).clamp_(min=0) * weight
    return (inside @ far.unsqueeze(2)).squeeze(2), inside.sum(-1)


def budgets(wish: Tensor, size: Tensor, wanted: Tensor, keep: int) -> Tensor:
    """(B, S) int64 tokens of each slot by its `wish` (B, S), at most its `size`, min(keep, all) together.

    Every `wanted` (B, S) slot gets one before any gets a second, where there are enough for that.
    """
    size = size.long()
    total = size.sum(-1).clamp(max=keep)
    first = (wanted & (size > 0)).long()
    first = first * (first.sum(-1) <= total).unsqueeze(-1)
    return first + counts(wish, total - first.sum(-1), size - first)


def runs(unit: Tensor, label: Tensor, weight: Tensor, budget: Tensor) -> Tensor:
    """(B, N) int64 runs, numbered from 0 in each image; -1 in slots without a budget.

    A slot's tokens stand in raster order; each step to the next one is as long as 1 - cosine of the two, times the
    larger of their weights. The slot is cut at its budget - 1 longest steps, equal ones from the front.
    """
    num_slots, num_tok = budget.shape[1], label.shape[1]
    number = torch.arange(num_tok, device=label.device).expand_as(label)
    order = (label * num_tok + number).argsort(-1)  # by slot, then raster
    slot, tokens, heavy = label.gather(1, order), rows(unit, order), weight.gather(1, order)
    step = torch.full(label.shape, float("inf"), device=unit.device)
    likeness = (tokens[:, 1:] * tokens[:, :-1]).sum(-1)
    step[:, 1:] = (1 - likeness).clamp(min=0) * torch.maximum(heavy[:, 1:], heavy[:, :-1])
    start = torch.ones_like(slot, dtype=torch.bool)
    start[:, 1:] = slot[:, 1:] != slot[:, :-1]
    step.masked_fill_(start, float("inf"))
    key = (slot << (SCORE_BITS + 1)) - step.view(torch.int32).long()  # by slot, then the longest step
    longest = ((key << INDEX_BITS) + number).sort(-1).values & (2**INDEX_BITS - 1)
    size = torch.zeros(len(label), num_slots + 1, dtype=torch.int64, device=label.device)
    size.scatter_add_(1, slot, torch.ones_like(slot))
    begin = size.cumsum(-1) - size
    allowed = torch.nn.functional.pad(budget, (0, 1))  # none for what is not valid
    cut = (number - begin.gather(1, slot)) < allowed.gather(1, slot)  # in the order of `longest`, slot by slot
    cut = torch.zeros_like(cut).scatter_(1, longest, cut)
    run = (cut.cumsum(-1) - 1).masked_fill_(allowed.gather(1, slot) == 0, -1)
    return torch.empty_like(run).scatter_(1, order, run)


def heads(run: Tensor, score: Tensor) -> Tensor:
    """(B, N) bool: of each run (B, N; -1 = none) the token of highest `score` (B, N) >= 0, the earlier of equals."""
    num_tok = run.shape[1]
    number = torch.arange(num_tok, device=run.device).expand_as(run)
    key = ((2**SCORE_BITS - score.float().view(torch.int32).long()) << INDEX_BITS) + number  # lowest is best
    place = run + 1
    best = torch.full((len(run), num_tok + 1), 2**62, device=run.device).scatter_reduce_(1, place, key, "amin")
    chosen: Tensor = (key == best.gather(1, place)) & (run >= 0)
    return chosen
