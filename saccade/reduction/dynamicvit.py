"""DynamicViT: after some blocks a small network says which tokens stay (Rao et al. 2021, arXiv:2106.02034).

Each stage sees every token and the mean of those that are left. It is trained with Gumbel-softmax draws that hide
tokens from attention, so that gradients reach what is hidden (`saccade train keep`); here the best of every image stay
and the others are gone.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from saccade.errors import ConfigError
from saccade.heads.files import holds, load_cached
from saccade.heads.keep import KeepScores
from saccade.reduction import Reduction, Stage
from saccade.tokens.apportion import rank_within
from saccade.tokens.merging import pad_groups, slots


def stage_blocks(stages: int, num_layers: int) -> list[int]:
    """The block after whose attention each stage decides, as evenly as blocks allow: 3, 6, 9 of 12.

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

    weights: Annotated[str, holds(KeepScores)] = Field(description="Folder of trained networks (`saccade train keep`).")
    keep: float = Field(0.7, gt=0, le=1, description="Share of the tokens that a stage keeps; 1 keeps all.")

    def active(self, num_layers: int) -> bool:
        return self.keep < 1

    def inside(self, stage: Stage) -> tuple[Tensor, Tensor] | None:
        scores = load_cached(KeepScores, self.weights, stage.states.device)
        blocks = stage_blocks(scores.stages, stage.num_layers)
        if stage.layer not in blocks or self.keep == 1:
            return None
        states = stage.states.mean(2)  # of a token's patches
        if states.shape[-1] != scores.width:
            raise ConfigError(
                f"dynamicvit: trained for towers {scores.width} wide; this one is {states.shape[-1]} wide"
            )
        image = stage.image[:, None].expand_as(stage.valid)[stage.valid]  # (tokens,)
        index, present = pad_groups(image)  # whole images: in a windowed block a group is less
        with torch.no_grad():
            logits = scores(blocks.index(stage.layer), states[stage.valid][index], present.float())
        wanted = torch.empty_like(image, dtype=torch.float32)
        wanted[index[present]] = (logits[..., 0] - logits[..., 1])[present]
        wanted = wanted.masked_fill(stage.fixed[stage.valid], float("inf"))
        room = (torch.bincount(image) * self.keep + 1e-6).floor().clamp(min=1)
        stays = torch.zeros_like(stage.valid)
        stays[stage.valid] = rank_within(wanted, image) < room[image]
        merged = torch.zeros_like(stays)
        return slots(merged.long(), merged, stays), stage.size
