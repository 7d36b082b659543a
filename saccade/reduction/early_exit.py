"""Early exit: the tower ends after the first block that hardly changes an image's features.

What is left of the tower is its merger or final norm. After BranchyNet (Teerapittayanon et al. 2016, arXiv:1709.01686),
with the features' own movement in the place of a classifier's entropy. A picture leaves alone, so pictures go through
the tower one by one.

It pays only with a tower whose features come to rest. Those of nano do not: each of its five blocks moves tokens by
0.20 to 0.77 (12 pages of 512 and 1024 px), so that the default never leaves early, and a tolerance that does (0.24)
reads 0.08 where the whole tower reads 0.81 (60 questions).
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from saccade.reduction import Reduction
from saccade.tokens.halting import change


class EarlyExit(Reduction):
    """Stops when 1 - cosine of tokens before and after a block, mean over the image, is below `tolerance`."""

    stopping: ClassVar[bool] = True

    tolerance: float = Field(0.02, ge=0, le=2, description="Mean 1 - cosine below which features are still; 0: never.")
    least: int = Field(1, ge=1, description="Blocks that run in any case.")

    def active(self, num_layers: int) -> bool:
        return self.tolerance > 0 and self.least < num_layers

    def stops(self, layer: int, before: Tensor, after: Tensor) -> bool:
        moved = change(before.flatten(1)[None], after.flatten(1)[None])
        return layer + 1 >= self.least and float(moved) < self.tolerance
