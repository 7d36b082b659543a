"""Levels: one image encoded at several sizes as one set of tokens, and how many tokens each level gets."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from saccade.codes import Coded
from saccade.geometry.grid import coarse_on
from saccade.types import Encoding, Grid, Scene

MAX_LEVELS = 4
PER_TOKEN = ("centre_uv", "extent_uv", "level", "row", "col")
"""Fields of a `Grid` with one entry per token."""


def level_tok(grid: Grid, level: int) -> int:
    """Tokens that level `level` of a page with this full-resolution grid holds at most: both sides over 2^level."""
    scale: int = 2**level
    return max(1, round(grid.rows / scale)) * max(1, round(grid.cols / scale))


def coarser_tok(grid: Grid, levels: int) -> list[int]:
    """`level_tok` of levels 1 to `levels` - 1; fewer for a page too small to have fewer tokens at the next level."""
    sizes = [level_tok(grid, level) for level in range(levels)]
    return [size for before, size in zip(sizes, sizes[1:], strict=False) if size < before]


def stack(encodings: Sequence[Encoding]) -> Encoding:
    """Encodings of one picture at sizes 1, 1/2, 1/4, ... as one encoding on the canvas of the first.

    Token order is level 0, then 1, ...; equal values are then decided for the finer token. A token of level l > 0
    stands at the floor of its centre and may share its cell. Every level's patches are charged. Attention received is
    an average over a level's own tokens, so it is multiplied by N_l / N_0: an even spread is then the same at all
    levels, and level 0 stays as it was. One encoding comes back as it is.
    """
    first = encodings[0]
    if len(encodings) == 1:
        return first
    grids = [first.grid, *(coarse_on(e.grid, first.grid, level) for level, e in enumerate(encodings) if level)]
    scaled = [replace(e, received=e.received * (len(e) / len(first))) for e in encodings]
    tensors: dict[str, Any] = {name: torch.cat([e.tensors[name] for e in scaled]) for name in first.tensors}
    return replace(
        first,
        grid=_joined(grids),
        fingerprint="+".join(e.fingerprint for e in encodings),  # caches must not take one pyramid for another
        num_patches=sum(e.num_patches for e in encodings),
        coded=_coded([e.coded for e in encodings]),
        **tensors,
    )


def _coded(each: Sequence[Coded | None]) -> Coded | None:
    """The codes of all levels, where all have some."""
    codes = [coded for coded in each if coded is not None]
    return replace(codes[0], codes=torch.cat([coded.codes for coded in codes])) if len(codes) == len(each) else None


def _joined(grids: Sequence[Grid]) -> Grid:
    columns: dict[str, Any] = {name: torch.cat([getattr(grid, name) for grid in grids]) for name in PER_TOKEN}
    return replace(grids[0], **columns)


def num_levels(scene: Scene) -> int:
    """Levels of the batch: 1 + the highest that any of its images has."""
    return 1 + max(int(grid.level.max()) for grid in scene.grids)


def level_masks(level: Tensor, among: Tensor, levels: int) -> Tensor:
    """(levels, B, N) bool: the tokens `among` (B, N) of each level (B, N)."""
    return torch.stack([(level == number) & among for number in range(levels)])


def place_in_level(importance: Tensor, level: Tensor, valid: Tensor, levels: int) -> Tensor:
    """(B, N) int64: 0 for the most important valid token of each level, ties to the earlier; invalid tokens last."""
    order = torch.argsort(importance.masked_fill(~valid, float("-inf")), dim=-1, descending=True, stable=True)
    sorted_level, place = level.gather(-1, order), torch.zeros_like(order)
    for number in range(levels):
        here = sorted_level == number
        place = torch.where(here, here.cumsum(-1) - 1, place)
    return torch.empty_like(order).scatter_(-1, order, place)


def ideal_counts(shares: Tensor, keep: int | Tensor, room: Tensor) -> Tensor:
    """Shares of levels to tokens, not yet whole: (B, L) >= 0 -> (B, L) float64, summing to min(keep, all room).

    `room` (B, L) int64 is what each level can give, `keep` one number or (B,). What a level has no room for goes to
    the others in proportion to their shares; once only levels of share 0 have room, in proportion to that room.
    Differentiable in the shares.
    """
    wish, room = shares.double(), room.double()
    total = torch.minimum(torch.as_tensor(keep, device=room.device).expand(len(room)).double(), room.sum(-1))
    full = torch.zeros_like(room, dtype=torch.bool)
    ideal = torch.zeros_like(wish)
    for _ in range(room.shape[1] + 1):  # each round fills a level or is the last
        asked = wish.masked_fill(full, 0.0)
        weight = torch.where(asked.sum(-1, keepdim=True) <= 0, room.masked_fill(full, 0.0), asked)
        left = (total - (room * full).sum(-1)).unsqueeze(-1)
        ideal = torch.where(full, room, left * weight / weight.sum(-1, keepdim=True).clamp(min=1e-300))
        full = full | (ideal >= room)
    return ideal


def counts(shares: Tensor, keep: int | Tensor, room: Tensor) -> Tensor:
    """`ideal_counts` in whole numbers: (B, L) int64, summing to min(keep, all room), none above its room.

    Fractions are settled by the largest remainder (Hamilton), ties to the finer level.
    """
    ideal = ideal_counts(shares, keep, room)
    whole = (ideal + 1e-9).floor()  # 3 x 0.1 x 10 is 3
    rest = (ideal - whole).masked_fill(whole >= room, -1.0).round(decimals=9)
    missing = (ideal.sum(-1) - whole.sum(-1)).round().long().unsqueeze(-1)  # (B, 1)
    order = torch.argsort(rest, dim=-1, descending=True, stable=True)
    place = torch.empty_like(order).scatter_(
        -1, order, torch.arange(room.shape[1], device=room.device).expand_as(order)
    )
    return whole.long() + (place < missing).long()


def soft_keep(
    importance: Tensor, level: Tensor, valid: Tensor, shares: Tensor, keep: int, width_tok: float = 2.0
) -> Tensor:
    """(B, N) in {0, 1}: the top of each level by importance, with a gradient that flows into the shares (B, L).

    Straight-through (Bengio et al. 2013): forward, a token is kept when its place in its level is below that level's
    whole count; backward, that step is a sigmoid, `width_tok` wide, of the count before rounding. Counting with
    `.int()` has no gradient at all.
    """
    room = level_masks(level, valid, shares.shape[-1]).sum(-1).T
    place = place_in_level(importance, level, valid, shares.shape[-1])
    hard = ((place < counts(shares, keep, room).gather(-1, level)) & valid).to(importance.dtype)
    ideal = ideal_counts(shares, keep, room).gather(-1, level).to(importance.dtype)
    soft = torch.sigmoid((ideal - place - 0.5) / width_tok) * valid
    return hard + (soft - soft.detach())


def soft_selection(
    logits: Tensor, level: Tensor, valid: Tensor, shares: Tensor, keep_tok: Tensor, width_tok: float, width: float
) -> Tensor:
    """(B, N) in {0, 1}: the top of each level by logits, with a gradient that flows into shares, tokens and logits.

    As `soft_keep`; `keep_tok` (B,) float may have a gradient too, and is rounded up. Backward, a token is also kept as
    far as its logit lies above its level's border, by a sigmoid `width` wide. The border moves with the logits so that
    what is kept stays as much: a token gains where it helps more than others near the border, at their cost, and all
    logits together gain nothing.
    """
    levels = shares.shape[-1]
    room = level_masks(level, valid, levels).sum(-1).T
    place = place_in_level(logits.detach(), level, valid, levels)
    whole = counts(shares.detach(), (keep_tok.detach() - 1e-6).ceil(), room).gather(-1, level)
    hard = ((place < whole) & valid).to(logits.dtype)
    ideal = ideal_counts(shares, keep_tok, room).gather(-1, level).to(logits.dtype)
    by_count = torch.sigmoid((ideal - place - 0.5) / width_tok) * valid
    border = _border(logits.detach(), level, valid, hard > 0, levels).gather(-1, level)
    slope = torch.sigmoid((logits.detach() - border) / width)
    slope = slope * (1 - slope) * valid
    moved = slope * (logits - logits.detach())
    per_level = [
        (moved * mask).sum(-1) / (slope * mask).sum(-1).clamp(min=1e-12) for mask in level_masks(level, valid, levels)
    ]
    border = border + torch.stack(per_level, -1).gather(-1, level)
    by_logit = torch.sigmoid((logits - border) / width) * valid
    return hard + (by_count - by_count.detach()) + (by_logit - by_logit.detach())


def _border(logits: Tensor, level: Tensor, valid: Tensor, kept: Tensor, levels: int) -> Tensor:
    """(B, levels) halfway between the least logit that is kept of a level and the greatest that is not."""
    borders = []
    for mask in level_masks(level, valid, levels):
        least = logits.masked_fill(~(mask & kept), float("inf")).amin(-1)
        most = logits.masked_fill(~(mask & ~kept), float("-inf")).amax(-1)
        least = torch.where(least.isfinite(), least, most)
        most = torch.where(most.isfinite(), most, least)
        borders.append(torch.where(least.isfinite(), (least + most) / 2, torch.zeros_like(least)))
    return torch.stack(borders, -1)


def fit_shares(table: Tensor, levels: int) -> Tensor:
    """(B, T) shares, finest first -> (B, levels) float32 that sum to 1: cut to the levels there are, or 0 beyond T."""
    padded = torch.nn.functional.pad(table.float(), (0, max(0, levels - table.shape[-1])))[..., :levels]
    total = padded.sum(-1, keepdim=True)
    return torch.where(total > 0, padded / total.clamp(min=1e-30), torch.full_like(padded, 1 / levels))
