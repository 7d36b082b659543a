"""Qwen2.5-VL: a windowed vision tower, a 2 x 2 merger and M-RoPE positions (Bai et al. 2025, arXiv:2502.13923)."""

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.vision_utils import get_vision_window_index

from saccade.errors import ConfigError
from saccade.families import Prepared
from saccade.families._lazy import Windows
from saccade.families._qwen import QwenVL


class Qwen25VL(QwenVL):
    """A Qwen2.5-VL checkpoint."""

    model_class = Qwen2_5_VLForConditionalGeneration

    def windows(self, prepared: Prepared) -> Windows:
        """Exact up to the first block without windows; there tokens see what was encoded before them."""
        if self.reduction is not None:
            raise ConfigError(
                f"--encoder lazy and the reduction {self.reduction.name()!r} do not go together: it needs the whole "
                "page. Leave one of them out"
            )
        return Windows(self, prepared)

    def _full(self) -> list[int]:
        tower = self.model.model.visual
        return [layer for layer in tower.fullatt_block_indexes if layer < len(tower.blocks)]

    def _windows(self, grid_thw: Tensor) -> tuple[Tensor, Tensor]:
        tower = self.model.model.visual
        order, ends = get_vision_window_index(
            grid_thw,
            spatial_merge_size=self.merge,
            window_size=tower.window_size,
            patch_size=tower.patch_size,
        )
        order, lengths = order.to(grid_thw.device), ends.diff() // self.merge**2  # its order comes on the CPU
        return order, torch.arange(len(lengths), device=order.device).repeat_interleave(lengths)
