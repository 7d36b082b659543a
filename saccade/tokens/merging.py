"""Bipartite soft matching and merging of tokens (ToMe: Bolya et al. 2023, arXiv:2210.09461), with its inverse.

Two forms. Matching is done in padded groups: (G, S) tokens of which `valid` are real, since tokens match within their
group only. Merging is done on packed tokens: (T, ...) one after the other, each with the slot it goes `into` (T,)
int64, -1 = dropped. Nothing to merge is the identity, bit by bit.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from saccade.tokens.apportion import rank_within
from saccade.types import Grid, cells_at


def pad_groups(owner: Tensor) -> tuple[Tensor, Tensor]:
    """How packed tokens lie in padded groups, given the group (T,) int64 that owns each; their order is kept.

    Returns: index (G, S) int64 into the tokens, 0 at padding; valid (G, S) bool.
    """
    order = torch.argsort(owner, stable=True)
    counts = torch.bincount(owner)
    counts = counts[counts > 0]
    place = torch.arange(int(counts.max()), device=owner.device).expand(len(counts), -1)
    valid = place < counts[:, None]
    starts = (counts.cumsum(0) - counts)[:, None]
    return order[(starts + place).clamp(max=len(owner) - 1)].masked_fill(~valid, 0), valid


def match(keys: Tensor, valid: Tensor, fixed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Each even token's most similar odd token, by cosine of the keys (G, S, C), in its group.

    One token in two may merge and the others stay, so that no token is merged twice and no search is needed: S^2 / 4
    similarities, where Hungarian matching would be cubic. Tokens that are `fixed` (G, S) neither merge nor take in.

    Returns: similarity (G, S) float32, -inf for tokens that cannot merge; partner (G, S) int64.
    """
    groups, length = valid.shape
    similarity = torch.full((groups, length), float("-inf"), device=keys.device)
    partner = torch.arange(length, device=keys.device).repeat(groups, 1)
    if length < 2:
        return similarity, partner
    free = valid if fixed is None else valid & ~fixed
    unit = normalize(keys.float(), dim=-1)
    pairs = unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)  # (G, even, odd)
    pairs = pairs.masked_fill(~(free[:, ::2, None] & free[:, None, 1::2]), float("-inf"))
    similarity[:, ::2], best = pairs.max(-1)
    partner[:, ::2] = torch.where(similarity[:, ::2].isfinite(), 2 * best + 1, partner[:, ::2])
    return similarity, partner


def strongest(similarity: Tensor, image: Tensor, r: int | None, threshold: float | None = None) -> Tensor:
    """(G, S) bool: the `r` most similar pairs of each image (None: all) among those of at least `threshold`.

    `image` (G,) says which image a group is of: an image's windows share its r, so that blank ones merge more than
    dense ones. Ties go to the earlier token.
    """
    able = similarity.isfinite() if threshold is None else similarity >= threshold
    if r is None:
        return able
    score = similarity.masked_fill(~able, float("-inf")).flatten()
    rank = rank_within(score, image.repeat_interleave(similarity.shape[1]))
    return able & (rank.view_as(similarity) < r)


def slots(partner: Tensor, merged: Tensor, valid: Tensor) -> Tensor:
    """(G, S) int64 slot that each token goes into: its own, or its partner's if it is `merged`; -1 at padding.

    Slots are numbered without gaps in the order of the tokens that stay.
    """
    own = (valid & ~merged).cumsum(-1) - 1
    return torch.where(merged, own.gather(-1, partner), own).masked_fill(~valid, -1)


def pack(source: Tensor, valid: Tensor, index: Tensor) -> tuple[Tensor, int]:
    """Slots per group, (G, S), as slots of all T packed tokens: `into` (T,), and how many there are.

    `index` and `valid` (G, S) are those of `pad_groups`.
    """
    counts = source.masked_fill(~valid, -1).amax(-1) + 1  # slots of each group
    flat = source + (counts.cumsum(0) - counts)[:, None]
    into = torch.full((int(valid.sum()),), -1, dtype=torch.int64, device=source.device)
    into[index[valid]] = torch.where(source >= 0, flat, -1)[valid]
    return into, int(counts.sum())


def total(values: Tensor, into: Tensor, num: int) -> Tensor:
    """(num, ...) sum of the tokens (T, ...) in each slot."""
    kept = into >= 0
    return values.new_zeros((num, *values.shape[1:])).index_add_(0, into[kept], values[kept])


def merge(values: Tensor, into: Tensor, weight: Tensor, num: int) -> Tensor:
    """(num, ...) weighted mean of the tokens (T, ...) in each slot, `weight` (T,) > 0; computed in float32.

    With sizes as weights a token that stands for three counts three times: a plain mean would drift to the newcomers.
    """
    share = weight.float() / total(weight.float(), into, num)[into.clamp(min=0)]  # exactly 1 for a token alone
    share = share.view(-1, *[1] * (values.ndim - 1))
    return total(values.float() * share, into, num).to(values.dtype)


def unmerge(values: Tensor, into: Tensor) -> Tensor:
    """(T, ...): every token gets what its slot (num, ...) holds, dropped ones zeros.

    The inverse of a merge of equal tokens; it is here for that law's test.
    """
    gone = (into < 0).view(-1, *[1] * (values.ndim - 1))
    return values[into.clamp(min=0)].masked_fill(gone, 0)


def merged_grid(grid: Grid, into: Tensor, num: int) -> tuple[Grid, Tensor]:
    """The grid after the cells of a plain one have gone into `num` slots, `into` (H*W,); and the slots' order on it.

    A token's centre is the centroid of its cells and its extent their bounding box; it stands on the cell under its
    centre, so that two may share one. `Grid.source` says which cells are whose. Tokens come in raster order.

    Returns: the grid of num tokens; order (num,) int64, the slot that each of them is.
    """
    if num == len(grid) and torch.equal(into, torch.arange(num)):
        return grid, into
    centre = merge(grid.centre_uv, into, torch.ones_like(into), num)
    low, high = (grid.centre_uv + sign * grid.extent_uv / 2 for sign in (-1, 1))
    kept = into >= 0
    cells = into[kept, None].expand(-1, 2)
    low = torch.ones(num, 2).scatter_reduce(0, cells, low[kept], "amin")
    high = torch.zeros(num, 2).scatter_reduce(0, cells, high[kept], "amax")
    row, col = cells_at(centre, grid.rows, grid.cols)
    order = torch.argsort(row * grid.cols + col, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(num)
    source = torch.where(kept, place[into.clamp(min=0)], -1)
    merged = Grid(
        centre[order],
        (high - low)[order],
        torch.zeros_like(row),
        row[order],
        col[order],
        grid.rows,
        grid.cols,
        grid.width_px,
        grid.height_px,
        source,
    )
    return merged, order
