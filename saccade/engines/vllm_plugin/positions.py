"""Rotary positions of a prompt that holds canvases."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Placed:
    """One part of a canvas in a prompt."""

    offset: int  # of its first token in the prompt
    cells: Tensor  # (K, 2) int64, canvas row and column of each token
    rows: int
    cols: int

    @property
    def end(self) -> int:
        """Index of the first token after it."""
        return self.offset + len(self.cells)


def canvas_positions(num_tok: int, parts: Sequence[Placed]) -> tuple[Tensor, int]:
    """M-RoPE positions (3, num_tok) int64 and what to add to the index of later tokens.

    Parts that touch stand on one canvas. A token of a canvas that starts at s stands at (s, s + row, s + column), and
    text after it starts at s + max(rows, cols), as if the canvas were full. What follows the last part is text, also
    where tokens that were generated already are part of the prompt.

    Raises:
        ValueError: parts that touch are of canvases of different sizes.
    """
    positions = torch.empty(3, num_tok, dtype=torch.int64)
    at = start = following = 0  # next token; start of the canvas; position after the last text or canvas
    last: Placed | None = None
    for part in sorted(parts, key=lambda part: part.offset):
        if last is None or part.offset > at:
            text = part.offset - at
            positions[:, at : part.offset] = torch.arange(following, following + text)
            start = following + text
            following = start + max(part.rows, part.cols)
        elif (part.rows, part.cols) != (last.rows, last.cols):
            raise ValueError(
                f"a part of a canvas of {part.rows} x {part.cols} cells touches one of {last.rows} x {last.cols}: "
                "parts inside one vision_start ... vision_end are of one canvas"
            )
        positions[0, part.offset : part.end] = start
        positions[1:, part.offset : part.end] = start + part.cells.T
        at, last = part.end, part
    positions[:, at:] = torch.arange(following, following + num_tok - at)
    return positions, following - at
