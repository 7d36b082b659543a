"""Qwen2.5-VL: a windowed vision tower, a 2 x 2 merger and M-RoPE positions (Bai et al. 2025, arXiv:2502.13923)."""

from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.vision_utils import get_vision_window_index

from saccade.families._qwen import QwenVL


class Qwen25VL(QwenVL):
    """A Qwen2.5-VL checkpoint."""

    model_class = Qwen2_5_VLForConditionalGeneration

    def _last_full(self) -> Any:
        tower = self.model.model.visual
        full = [i for i in tower.fullatt_block_indexes if i < len(tower.blocks)] or [len(tower.blocks) - 1]
        return tower.blocks[full[-1]]

    def _raster(self, grid_thw: Tensor) -> Tensor:
        """The tower keeps tokens in window order up to its merger."""
        tower = self.model.model.visual
        window_index, _ = get_vision_window_index(
            grid_thw,
            spatial_merge_size=self.merge,
            window_size=tower.window_size,
            patch_size=tower.patch_size,
        )
        return torch.argsort(window_index)
