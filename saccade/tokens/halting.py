"""When features stop changing: how far a block moved its tokens."""

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
