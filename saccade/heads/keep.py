"""Small networks that say which tokens stay in a vision tower."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm


class KeepScores(nn.Module):
    """One small network a stage: logits of staying and going for each token."""

    def __init__(self, width: int, inner: int = 32, stages: int = 3) -> None:
        super().__init__()
        self.width, self.inner, self.stages = width, inner, stages
        self.look = nn.ModuleList(nn.Linear(width, inner) for _ in range(stages))
        self.judge = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * inner, inner), nn.GELU(), nn.Linear(inner, 2)) for _ in range(stages)
        )

    @property
    def sizes(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {"width": self.width, "inner": self.inner, "stages": self.stages}

    def forward(self, stage: int, states: Tensor, alive: Tensor) -> Tensor:
        """(B, S, F) states of which `alive` (B, S), 0 or 1, count -> (B, S, 2) logits: staying, going."""
        hidden = gelu(self.look[stage](layer_norm(states.float(), states.shape[-1:])))
        share = alive.float() / alive.float().sum(-1, keepdim=True).clamp(min=1)
        mean = (share.unsqueeze(1) @ hidden).expand_as(hidden)
        return self.judge[stage](torch.cat([hidden, mean], -1))  # type: ignore[no-any-return]
