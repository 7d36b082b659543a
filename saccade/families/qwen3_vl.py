"""Qwen3-VL: DeepStack levels, interpolated patch positions, interleaved M-RoPE (Bai et al. 2025, arXiv:2511.21631).

DeepStack: the tower merges the states of some of its blocks as well, and the decoder adds level l of each visual token
to that token's state after its l-th layer (Meng et al. 2024, arXiv:2406.04334). The levels are part of a token: they
are selected with it and travel with it. The interleaving is the model's own business; positions are Qwen2-VL's.
"""

from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from saccade.families._qwen import QwenVL


class Qwen3VL(QwenVL):
    """A Qwen3-VL checkpoint."""

    model_class = Qwen3VLForConditionalGeneration

    def _embedded(self, patches: Tensor, grid_thw: Tensor, cells: Tensor) -> Tensor:
        """With the learned positions, interpolated to each picture's grid."""
        tower = self.model.model.visual
        index, weights = get_vision_interpolation_indices_and_weights(
            grid_thw,
            num_grid_per_side=tower.num_grid_per_side,
            mode=tower.interpolation_mode,
            align_corners=tower.interpolation_align_corners,
            spatial_merge_size=self.merge,
        )
        states = super()._embedded(patches, grid_thw, cells)
        unit = self.merge**2
        index, weights = (each.view(-1, unit, each.shape[-1])[cells].flatten(0, 1) for each in (index, weights))
        learned: Tensor = (tower.pos_embed(index) * weights[..., None]).sum(1)
        return states + learned.to(states.dtype)
