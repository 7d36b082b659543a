"""Uniform grid: tokens spread evenly over the page, whatever is on it."""

from typing import ClassVar

import torch
from torch import Tensor

from saccade.samplers import Sampler
from saccade.tokens.ranking import bins_first, rank
from saccade.types import Scene

TIE = 1e-4
"""Weight of the distance from the page's middle when two tokens are equally near a cell's centre."""


class Uniform(Sampler):
    """The page is cut into exactly `keep` cells of equal area, as square as they can be; each gives its middle token.

    Cells lie in rows that hold equally many, give or take one, so any number of tokens is spread evenly. The choice is
    its own mirror image wherever one exists (an odd number of cells in a row has none on an even number of columns).
    On a full grid no cell is empty; where tokens were already shown, what empty cells leave goes to the tokens nearest
    to a cell's middle.
    """

    blind: ClassVar[bool] = True

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        num_cells = min(max(keep, 1), scene.valid.shape[1])
        size = torch.tensor([(grid.rows, grid.cols) for grid in scene.grids], device=scene.valid.device)  # (B, 2)
        rows, cols = size[:, :1], size[:, 1:]  # (B, 1)
        lines = (num_cells * rows / cols).sqrt().round().long()  # of cells, as high as wide
        lines = lines.maximum(-(-num_cells // cols)).minimum(rows.clamp(max=num_cells)).clamp(min=1)
        line = (2 * scene.row + 1) * lines // (2 * rows)  # (B, N)
        start = (2 * line * num_cells + lines) // (2 * lines)  # cells in the lines above
        in_line = (2 * (line + 1) * num_cells + lines) // (2 * lines) - start
        place = (2 * scene.col + 1) * in_line // (2 * cols)
        # Distances in tokens, exact to the last rounding, so that ties are ties.
        dx = scene.col + 0.5 - (place.double() + 0.5) * cols / in_line
        dy = scene.row + 0.5 - (line.double() + 0.5) * rows / lines
        aside = (scene.col + 0.5 - cols.double() / 2).abs() + (scene.row + 0.5 - rows.double() / 2).abs()
        far = (dx.square() + dy.square() + TIE * aside).round(decimals=9)
        return bins_first(rank(-far, scene.valid), start + place, num_cells)
