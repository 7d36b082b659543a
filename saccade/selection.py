"""Selection: which tokens a look keeps, and which of them enter the canvas as one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

if TYPE_CHECKING:
    from saccade.types import Grid

CELL_ROUNDING = 1e-4
"""Of a cell: what a centre in float32 may lack of the next whole number, on canvases of up to 800 cells a side."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tokens a look keeps. Pruning and merging are one type: `source` says where each token went.

    Tokens that share a slot enter the canvas as one, their mean. `index` names one of them for each slot.
    """

    index: Tensor  # (K,) int64, strictly increasing; source[index[k]] == k
    source: Tensor  # (N,) int64, the kept slot each token went into, -1 = dropped
    weight: Tensor | None = None  # (N,) float, > 0 where kept: shares of a slot's mean; None: equal ones

    @classmethod
    def keep(cls, index: Tensor, num_tok: int) -> Self:
        """Pure pruning: `index` (K,) in any order, without duplicates."""
        index = index.sort().values
        source = torch.full((num_tok,), -1, dtype=torch.int64, device=index.device)
        source[index] = torch.arange(len(index), device=index.device)
        return cls(index, source)

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def weights(self) -> Tensor:
        """(K,) float32: how many tokens went into each slot."""
        return torch.bincount(self.source[self.source >= 0], minlength=len(self)).to(torch.float32)

    @property
    def merges(self) -> bool:
        """Whether any slot holds more than one token."""
        return int((self.source >= 0).sum()) > len(self)

    @property
    def sharp(self) -> Tensor:
        """(K,) int64: the tokens that are alone in their slot, shown as they are; what is averaged cannot be read."""
        return self.index[self.weights == 1] if self.merges else self.index

    def scatter(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Paints one value per kept slot (K, ...) back on all tokens (N, ...); dropped tokens get `fill`."""
        painted = values[self.source.clamp(min=0)]
        dropped = (self.source < 0).view(-1, *[1] * (values.ndim - 1))
        return painted.masked_fill(dropped, fill)

    def mean(self, values: Tensor) -> Tensor:
        """(K, ...) in the type of `values` (N, ...): each slot's weighted mean; a token by itself stays what it is."""
        kept = self.source >= 0
        source = self.source[kept]
        exact = torch.promote_types(values.dtype, torch.float32)
        weight = torch.ones_like(source, dtype=exact) if self.weight is None else self.weight[kept].to(exact)
        share = weight / weight.new_zeros(len(self)).index_add_(0, source, weight)[source]  # exactly 1 when alone
        parts = values[kept].to(exact) * share.view(-1, *[1] * (values.ndim - 1))
        return parts.new_zeros(len(self), *values.shape[1:]).index_add_(0, source, parts).to(values.dtype)

    def cells(self, grid: "Grid") -> tuple[Tensor, Tensor]:
        """Row and column (K,) int64 of each slot: its token's own, a merged one's at the floor of its centre."""
        row, col = grid.row[self.index], grid.col[self.index]
        if not self.merges:
            return row, col
        size = torch.tensor([grid.cols, grid.rows], dtype=torch.float64, device=row.device)
        place = (self.mean(grid.centre_uv.double()) * size + CELL_ROUNDING).floor().long()  # (K, 2)
        place = place.clamp(min=0).minimum(size.long() - 1)
        alone = self.weights == 1
        return torch.where(alone, row, place[:, 1]), torch.where(alone, col, place[:, 0])
