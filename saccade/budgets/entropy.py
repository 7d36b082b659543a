"""Entropy floor: more tokens while the page, merged to a budget, has lost too much of its diversity."""

import torch
from pydantic import Field
from torch import Tensor

from saccade.budgets import MAX_TOK, Budget
from saccade.tokens.entropy import ROUNDING, WIDTH, token_entropy
from saccade.tokens.sketch import unit_sketch
from saccade.types import Scene

FLOOR = 0.6
"""Share of a page's own entropy below which too much of it has been averaged away. With nano 273 tokens keep 0.66 to
0.79 of a page of 512 px, where they read what the page reads, and 0.40 to 0.57 of one of 1024 px, where they read less
(training pages). The often named 0.2734 has no published source, and no page that was tried falls below it."""
GROWTH = 1.25


class Entropy(Budget):
    """`tokens`, and a quarter more as long as the token entropy lies below `floor` of its maximum, up to `most`.

    Token entropy (`saccade.tokens.entropy`) is taken of the page averaged down to so many cells, and its maximum is
    what the page has with nothing averaged: a blank page has nothing to lose and gets no more. What merging itself may
    take is the `floor` of the samplers `slots` and `dominant` and of the reduction `tome`.
    """

    tokens: int = Field(273, ge=1, le=MAX_TOK, description="Visual tokens per fixation, at least.")
    most: int = Field(819, ge=1, le=MAX_TOK, description="Visual tokens per fixation, at most.")
    floor: float = Field(FLOOR, ge=0, le=1, description="Share of the page's own token entropy to keep.")

    def __call__(self, scene: Scene) -> list[int]:
        unit = unit_sketch(scene.tokens, WIDTH)
        return [self._grown(unit[b], scene, b) for b in range(len(scene.grids))]

    def _grown(self, unit: Tensor, scene: Scene, number: int) -> int:
        grid, real = scene.grids[number], scene.present[number]
        needed = self.floor * float(token_entropy(unit[real]))
        row, col, tokens = scene.row[number][real], scene.col[number][real], self.tokens
        while tokens < self.most:
            merged = average(unit[real], row, col, grid.rows, grid.cols, tokens)
            if float(token_entropy(merged)) >= needed - ROUNDING:
                break
            tokens = min(self.most, int(tokens * GROWTH) + 1)
        return tokens

    @property
    def most_tok(self) -> int:
        return max(self.tokens, self.most)


def average(tokens: Tensor, row: Tensor, col: Tensor, rows: int, cols: int, keep: int) -> Tensor:
    """(K, d) means of tokens (N, d) over at most about `keep` cells of equal area, as square as they can be."""
    down = min(rows, max(1, round((keep * rows / cols) ** 0.5)))
    across = min(cols, max(1, keep // down))
    cell = (row * down // rows) * across + col * across // cols
    total = tokens.new_zeros(down * across, tokens.shape[1]).index_add_(0, cell, tokens)
    count = torch.bincount(cell, minlength=down * across)
    return total[count > 0] / count[count > 0].unsqueeze(1)
