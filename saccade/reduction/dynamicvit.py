"""DynamicViT (R2): after some blocks a small network says which tokens stay (Rao et al. 2021, arXiv:2106.02034).

Each stage sees every token and the mean of those that are left. It is trained with Gumbel-softmax draws that hide
tokens from attention, so that gradients reach what is hidden (`saccade.training.reduction.train_dynamicvit`); here the
best of every image stay and the others are gone.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from saccade.errors import ConfigError
from saccade.geometry.apportion import rank_within
from saccade.geometry.merging import padded, slots
from saccade.geometry.saved import holds, opened
from saccade.reduction import Reduction, Stage


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
        seen = gelu(self.look[stage](layer_norm(states.float(), states.shape[-1:])))
        share = alive.float() / alive.float().sum(-1, keepdim=True).clamp(min=1)
        mean = (share.unsqueeze(1) @ seen).expand_as(seen)
        return self.judge[stage](torch.cat([seen, mean], -1))  # type: ignore[no-any-return]


def stage_blocks(stages: int, num_layers: int) -> list[int]:
    """The block behind whose attention each stage decides, as evenly as blocks allow: 3, 6, 9 of 12.

    Raises:
        ConfigError: the tower has no block for each.
    """
    if stages >= num_layers:
        raise ConfigError(
            f"dynamicvit: {stages} stages need a tower of more than {stages} blocks; this has {num_layers}"
        )
    return [(number + 1) * num_layers // (stages + 1) for number in range(stages)]


class DynamicViT(Reduction):
    """Keeps the share `keep` of every image's tokens in each stage, those that the trained networks want most."""

    weights: Annotated[str, holds(KeepScores)] = Field(
        description="Folder of trained networks (saccade.training.reduction)."
    )
    keep: float = Field(0.7, gt=0, le=1, description="Share of the tokens that a stage keeps; 1 keeps all.")

    def active(self, num_layers: int) -> bool:
        return self.keep < 1

    def inside(self, stage: Stage) -> tuple[Tensor, Tensor] | None:
        scores = opened(KeepScores, self.weights, stage.states.device)
        blocks = stage_blocks(scores.stages, stage.num_layers)
        if stage.layer not in blocks or self.keep == 1:
            return None
        states = stage.states.mean(2)  # of a token's patches
        if states.shape[-1] != scores.width:
            raise ConfigError(
                f"dynamicvit: trained for towers {scores.width} wide; this one is {states.shape[-1]} wide"
            )
        image = stage.image[:, None].expand_as(stage.valid)[stage.valid]  # (tokens,)
        index, present = padded(image)  # whole images: in a windowed block a group is less
        with torch.no_grad():
            logits = scores(blocks.index(stage.layer), states[stage.valid][index], present.float())
        wanted = torch.empty_like(image, dtype=torch.float32)
        wanted[index[present]] = (logits[..., 0] - logits[..., 1])[present]
        wanted = wanted.masked_fill(stage.fixed[stage.valid], float("inf"))
        room = (torch.bincount(image) * self.keep + 1e-6).floor().clamp(min=1)
        stays = torch.zeros_like(stage.valid)
        stays[stage.valid] = rank_within(wanted, image) < room[image]
        nobody = torch.zeros_like(stays)
        return slots(nobody.long(), nobody, stays), stage.size
