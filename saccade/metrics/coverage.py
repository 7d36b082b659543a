"""Coverage: how much of the answer's place the looks have shown. It says where the eye landed, not what was read."""

from collections.abc import Sequence

from torch import Tensor

from saccade.geometry.grid import box_coverage
from saccade.types import Grid


def coverage(grid: Grid, shown: Tensor, boxes_uv: Sequence[tuple[float, float, float, float]]) -> float | None:
    """Share in [0, 1] of the answer boxes' area that the tokens `shown` (N,) bool cover; None without boxes."""
    return box_coverage(grid, shown, boxes_uv) if boxes_uv else None
