"""Greedy choice of tokens unlike each other, batched: farthest point (max-min) and determinantal (DPP).

Both pick, again and again, the token of largest gain, and a gain only falls as others are picked. So gains may be old
(lazy evaluation: Minoux 1978): a round takes the tokens of largest old gain into a small pool, brings those up to date
and picks among them until their best falls below the largest gain outside. The picks are those of the plain greedy
loop. There is no N x N matrix: memory is N x the picks of a round at most.
"""

from typing import Protocol

import torch
from torch import Tensor

POOL = 128
"""Tokens a round picks from. It changes the time, not the picks."""
ALONG = 1 / 4
"""A round ends when no more of its images than this share have certain picks left: it costs what all of them cost."""
FAINT = 1e-18
"""Quality that stands for none: its logarithm is finite."""
SAME = 1e-5
"""Cosine distance below which two tokens are one: float32 rounding."""


class Gain(Protocol):
    """What a token is worth, given those picked before."""

    def start(self) -> Tensor:
        """(B, N) float32 >= 0: the gains before anything is picked."""

    def enter(self, pool: Tensor, gain: Tensor) -> Tensor:
        """(B, P) float32 gains of the tokens `pool` (B, P) now, `gain` (B, P) before; a round begins among them."""

    def take(self, at: Tensor, gain: Tensor, picked: Tensor) -> Tensor:
        """(B, P) gains in the pool after place `at` (B,) was picked by the images `picked` (B,) bool."""

    def settle(self, gain: Tensor) -> Tensor:
        """(B, N) gains after a round, of which those in the pool are right: brought up to date, or as they are."""

    def narrow(self, images: Tensor) -> None:
        """Goes on with these `images` (B',) int64 only."""


class MaxMin:
    """Cosine distance to the nearest token picked (Gonzalez 1985; for visual tokens DivPrune, Alvar et al. 2025)."""

    def __init__(self, unit: Tensor, most: int) -> None:
        self.unit = unit  # (B, N, d)
        self.picks = unit.new_zeros(len(unit), most, unit.shape[2])
        self.done = torch.zeros(len(unit), dtype=torch.int64, device=unit.device)  # (B,)

    def start(self) -> Tensor:
        """More than any distance: the first pick is by rank alone."""
        return torch.full(self.unit.shape[:2], 3.0, device=self.unit.device)

    def enter(self, pool: Tensor, gain: Tensor) -> Tensor:
        """As they were: `settle` keeps them up to date."""
        self.inside, self.before = rows(self.unit, pool), self.done  # (B, P, d)
        return gain

    def take(self, at: Tensor, gain: Tensor, picked: Tensor) -> Tensor:
        """The smaller of the old distance and that to the new token."""
        new = rows(self.inside, at.unsqueeze(1))  # (B, 1, d)
        image = picked.nonzero().squeeze(1)
        self.picks[image, self.done[image]] = new[image, 0]
        self.done = self.done + picked
        return gain.minimum(distance((self.inside @ new.mT).squeeze(2)))

    def settle(self, gain: Tensor) -> Tensor:
        """The smaller of the old distances and those to the round's picks."""
        most = int((self.done - self.before).max())
        number = self.before.unsqueeze(1) + torch.arange(most, device=gain.device)
        number = number.minimum(self.done.unsqueeze(1) - 1).clamp(min=0)  # fewer picks: the last one again
        near = (rows(self.picks, number) @ self.unit.mT).amax(1)  # (B, N) of (B, T, N)
        return gain.minimum(distance(near))

    def narrow(self, images: Tensor) -> None:
        """The others have all their picks."""
        self.unit, self.picks = self.unit[images], self.picks[images]
        self.done, self.before = self.done[images], self.before[images]


class Determinant:
    """The factor by which the determinant of the picked tokens' kernel grows: greedy MAP of a determinantal process.

    L_ij = q_i q_j (exp((cos_ij - 1) / width) + ridge [i = j]). With R the Cholesky factor of the picks' kernel, a gain
    is what is left of L_ii: L_ii - |R^-1 L_picks,i|^2 (Chen, Zhang & Zhou 2018). The ridge lets tokens that equal
    picked ones still be ranked, by quality.

    A kernel is the exponential of one product: picks are kept as [unit / width, log q, 1], the pool as
    [unit, 1, log q - 1 / width].
    """

    def __init__(self, unit: Tensor, quality: Tensor, width: float, ridge: float, most: int) -> None:
        batch, device = len(unit), unit.device
        self.unit, self.quality, self.width, self.ridge = unit, quality, width, ridge
        self.picks = unit.new_zeros(batch, most, unit.shape[2] + 2)
        self.picks[..., -2] = float("-inf")  # the logarithm of no quality: 0 in every kernel
        self.factor = torch.eye(most, device=device).repeat(batch, 1, 1)  # R, the identity beyond an image's picks
        self.done = torch.zeros(batch, dtype=torch.int64, device=device)

    def start(self) -> Tensor:
        """(B, N) L_ii."""
        return (1 + self.ridge) * self.quality.square()

    def enter(self, pool: Tensor, gain: Tensor) -> Tensor:
        """L_ii less what earlier picks explain."""
        self.height = int(self.done.max())
        used = slice(self.height)
        quality = self.quality.gather(1, pool)
        level, ones = quality.clamp(min=FAINT).log().unsqueeze(2), torch.ones_like(quality).unsqueeze(2)
        self.inside = torch.cat([rows(self.unit, pool), ones, level - 1 / self.width], 2)  # (B, P, d + 2)
        self.fresh = torch.cat([self.inside[..., :-2] / self.width, level, ones], 2)
        shared = (self.picks[:, used] @ self.inside.mT).exp_()  # (B, t, P), 0 beyond an image's picks
        explained = torch.linalg.solve_triangular(self.factor[:, used, used], shared, upper=False)
        self.rows = explained.new_empty(len(pool), self.factor.shape[1], pool.shape[1])
        self.rows[:, used] = explained
        self.rows[:, self.height : self.height + pool.shape[1]] = 0
        left: Tensor = (1 + self.ridge) * quality.square() - torch.linalg.vector_norm(explained, dim=1).square()
        return left.clamp(min=0)

    def take(self, at: Tensor, gain: Tensor, picked: Tensor) -> Tensor:
        """One more row of R^-1 L, within the pool, and of R."""
        place, known = at.unsqueeze(1), self.rows[:, : self.height]
        new = rows(self.fresh, place)
        left: Tensor = (new @ self.inside.mT).exp_() - columns(known, place).mT @ known  # (B, 1, P)
        root = gain.gather(1, place).clamp(min=1e-12).sqrt()
        row = (left.squeeze(1) / root).scatter(1, place, root) * picked.unsqueeze(1)
        image = picked.nonzero().squeeze(1)
        number, self.height = self.done[image], self.height + 1
        self.rows[image, number] = row[image]
        self.factor[image, number, : self.height] = self.rows[image, : self.height, at[image]]
        self.picks[image, number] = new[image, 0]
        self.done = self.done + picked
        return (gain - row.square()).clamp(min=0)

    def settle(self, gain: Tensor) -> Tensor:
        """As they are: most tokens are never in question, and those that are come up to date in a pool."""
        return gain

    def narrow(self, images: Tensor) -> None:
        """The others have all their picks."""
        self.unit, self.quality, self.done = self.unit[images], self.quality[images], self.done[images]
        self.picks, self.factor = self.picks[images], self.factor[images]


def rows(values: Tensor, index: Tensor) -> Tensor:
    """(B, N, d) at `index` (B, T) -> (B, T, d)."""
    return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def columns(values: Tensor, index: Tensor) -> Tensor:
    """(B, t, N) at `index` (B, T) -> (B, t, T)."""
    return values.gather(2, index.unsqueeze(1).expand(-1, values.shape[1], -1))


def distance(cosines: Tensor) -> Tensor:
    """1 - cosine (any shape), and 0 where that is rounding."""
    far = 1 - cosines
    return far.masked_fill_(far < SAME, 0.0)


def greedy(worth: Gain, ranks: Tensor, valid: Tensor, keep: int, pool: int = POOL) -> Tensor:
    """(B, N) int64: 0 for the first token picked, 1 for the second, ...; N for tokens not picked.

    Picks min(keep, number of valid tokens) of the `valid` (B, N) ones. Equal gains: the lower of `ranks` (B, N), which
    must differ, wins. A gain that is no number counts as none: broken features cost their own image's order.
    """
    num_tok = valid.shape[1]
    gain = worth.start().nan_to_num(nan=0.0).masked_fill(~valid, -1.0)
    missing = total = valid.sum(-1).clamp(max=keep)  # (B,)
    images, places = torch.arange(len(valid), device=valid.device), torch.full_like(ranks, num_tok)
    size = min(pool, num_tok)
    while len(images):
        best = _best(gain, ranks, min(size + 1, num_tok))
        outside = best[:, size:] if num_tok > size else best[:, :1]
        bound, beyond = gain.gather(1, outside).squeeze(1), ranks.gather(1, outside).squeeze(1)
        if num_tok == size:
            bound = torch.full_like(bound, -1.0)
        inside = best[:, :size]
        inside = inside.gather(1, ranks.gather(1, inside).argsort(-1))  # by rank: the first of equals is taken
        old = gain.gather(1, inside)
        fresh = worth.enter(inside, old).nan_to_num(nan=0.0).masked_fill(old < 0, -1.0)
        fresh, place = _round(worth, fresh, ranks.gather(1, inside), bound, beyond, missing)
        image, at = (place >= 0).nonzero().unbind(1)
        places[images[image], inside[image, at]] = (total - missing)[image] + place[image, at]
        missing = missing - (place >= 0).sum(-1)
        gain = gain.scatter(1, inside, fresh)
        going = (missing > 0).nonzero().squeeze(1)
        if 2 * len(going) <= len(images):  # the rest would be carried along for nothing
            worth.narrow(going)
            images, gain, ranks, missing, total = (each[going] for each in (images, gain, ranks, missing, total))
        gain = worth.settle(gain) if len(images) else gain
        gain = gain.nan_to_num(nan=0.0).masked_fill(~valid[images] | (places[images] < num_tok), -1.0)
    return places


def _round(
    worth: Gain, gain: Tensor, ranks: Tensor, bound: Tensor, beyond: Tensor, missing: Tensor
) -> tuple[Tensor, Tensor]:
    """Picks in a pool of gains (B, P) while they are certain: gains (B, P) then, and who was picked when, -1 = not.

    A pick is certain while no token outside can be better: their gains are at most `bound` (B,), and of those at the
    bound none has a rank below `beyond` (B,).
    """
    when, going = torch.full_like(ranks, -1), missing > 0
    few = int(ALONG * int(going.sum()))
    for number in range(min(gain.shape[1], int(missing.max()))):
        at = gain.argmax(-1, keepdim=True)  # the first of equals
        top, rank = gain.gather(1, at).squeeze(1), ranks.gather(1, at).squeeze(1)
        going = going & (number < missing) & (top >= 0) & ((top > bound) | ((top == bound) & (rank < beyond)))
        if int(going.sum()) <= (few if number else 0):
            break
        took, here = worth.take(at.squeeze(1), gain, going).masked_fill_(gain < 0, -1.0), going.unsqueeze(1)
        gain = torch.where(here, took.scatter_(1, at, -1.0), gain)
        when = when.scatter(1, at, torch.where(here, number, when.gather(1, at)))
    return gain, when


def _best(gain: Tensor, ranks: Tensor, num: int) -> Tensor:
    """(B, num) tokens of highest gain, ties to the lower rank, best first."""
    bits = gain.clamp(min=0).view(torch.int32).long() + (gain >= 0)  # floats >= 0 have the order of their bits
    return ((bits << 32) - ranks).topk(num, dim=-1).indices
