"""When features stop changing: how far a block moved its tokens, and running blocks until they are still."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity


def change(before: Tensor, after: Tensor, present: Tensor | None = None) -> Tensor:
    """(B,) float32 in [0, 2]: 1 - cosine of each token (B, N, F) before and after a block, mean over present tokens.

    `present` (B, N) bool. A token of zeros has changed by 1; an image without tokens by 0.
    """
    turned = 1 - cosine_similarity(before.float(), after.float(), dim=-1)
    if present is None:
        return turned.mean(-1)
    return (turned * present).sum(-1) / present.sum(-1).clamp(min=1)


def until_still(
    blocks: Sequence[Callable[[Tensor], Tensor]], states: Tensor, tolerance: float, least: int = 1
) -> tuple[Tensor, Tensor]:
    """Runs each image (B, N, F) through `blocks` until one changes it by less than `tolerance`.

    An image that is still leaves the batch: later blocks run on the others. At least `least` blocks run;
    tolerance 0 runs all of them.

    Returns: the states (B, N, F) that each image left with; depth (B,) int64, the blocks it went through.
    """
    left = states.clone()
    depth = torch.zeros(len(states), dtype=torch.int64, device=states.device)
    moving = torch.arange(len(states), device=states.device)
    for number, block in enumerate(blocks, start=1):
        before = left[moving]
        after = block(before)
        left[moving], depth[moving] = after, number
        if number >= least:
            moving = moving[change(before, after) >= tolerance]
        if not len(moving):
            break
    return left, depth
