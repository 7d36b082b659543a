"""Qwen3-VL: DeepStack levels, interpolated patch positions, interleaved M-RoPE (Bai et al. 2025, arXiv:2511.21631).

DeepStack: the tower merges the states of some of its blocks as well, and the decoder adds level l of each visual token
to that token's state behind its l-th layer (Meng et al. 2024, arXiv:2406.04334). The levels are part of a token: they
are selected with it and travel with it. The interleaving is the model's own business; positions are Qwen2-VL's.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from saccade.families._qwen import QwenVL


class Qwen3VL(QwenVL):
    """A Qwen3-VL checkpoint."""

    model_class = Qwen3VLForConditionalGeneration

    def _embedded(self, patches: Tensor, grid_thw: Tensor) -> Tensor:
        """With the learned positions, interpolated to each picture's grid."""
        tower = self.model.model.visual
        index, weights = get_vision_interpolation_indices_and_weights(
            grid_thw,
            num_grid_per_side=tower.num_grid_per_side,
            mode=tower.interpolation_mode,
            align_corners=tower.interpolation_align_corners,
            spatial_merge_size=self.merge,
        )
        states = super()._embedded(patches, grid_thw)
        learned: Tensor = (tower.pos_embed(index) * weights[..., None]).sum(1)
        return states + learned.to(states.dtype)

    def forward(self, embeds: Tensor, positions: Tensor, cache: Any) -> Tensor:
        width = self.language_model.config.hidden_size
        embeds, *levels = torch.split(embeds, width, dim=-1)
        everywhere = torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
        out = self.language_model(
            inputs_embeds=embeds,
            position_ids=positions.unsqueeze(1),
            past_key_values=cache,
            use_cache=True,
            visual_pos_masks=everywhere if levels else None,  # text among them has levels of zeros
            deepstack_visual_embeds=[level[0] for level in levels] or None,
        )
        return out.last_hidden_state  # type: ignore[no-any-return]
