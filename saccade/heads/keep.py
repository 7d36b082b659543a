"""Small networks that decide which tokens stay in a vision tower (DynamicViT, Rao et al. 2021)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm


class KeepScores(nn.Module):
    """One small network per stage: the logits of keeping and dropping each token."""

    def __init__(self, width: int, inner: int = 32, stages: int = 3) -> None:
        super().__init__()
        self.width, self.inner, self.stages = width, inner, stages
        self.look = nn.ModuleList(nn.Linear(width, inner) for _ in range(stages))
        self.judge = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * inner, inner), nn.GELU(), nn.Linear(inner, 2)) for _ in range(stages)
        )

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of `__init__`, for the module's file."""
        return {"width": self.width, "inner": self.inner, "stages": self.stages}

    def forward(self, stage: int, states: Tensor, alive: Tensor) -> Tensor:
        """States (B, S, F), of which `alive` (B, S), 0 or 1, count -> (B, S, 2) float32 logits: keep, drop."""
        hidden = gelu(self.look[stage](layer_norm(states.float(), states.shape[-1:])))
        share = alive.float() / alive.float().sum(-1, keepdim=True).clamp(min=1)
        mean = (share.unsqueeze(1) @ hidden).expand_as(hidden)
        return self.judge[stage](torch.cat([hidden, mean], -1))  # type: ignore[no-any-return]
