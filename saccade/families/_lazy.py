"""A windowed vision tower that encodes only the windows that are looked at.

Before the tower's first block without windows, a window's states depend on its own patches alone, so encoding it later
is exact. In a block without windows, tokens attend to everything encoded so far, whose keys and values are kept, but
not to what comes later: an approximation, which is exact only if all windows are asked for at once.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.vision_utils import get_vision_position_ids

from saccade.families import Prepared
from saccade.families._qwen_tower import QwenBlocks
from saccade.families._walk import Memory, Tokens, walk


class Windows:
    """One picture in a windowed Qwen tower. A resource: it holds keys and values of what was encoded, on the device."""

    def __init__(self, family: Any, prepared: Prepared) -> None:
        tower, unit = family.model.model.visual, family.merge**2
        self.family, self.blocks = family, QwenBlocks(tower, family._full())
        self.grid_thw = torch.tensor([prepared.grid_thw], device=tower.device)
        order, window = family._windows(self.grid_thw)
        self.window = torch.empty_like(window)
        self.window[order] = window  # (N,) of each token in raster order
        self.order = order
        self.patches = prepared.patches.view(len(order), unit, -1)  # stays where it is: most is never needed
        self.position = get_vision_position_ids(self.grid_thw, family.merge).float().view(len(order), unit, 2)
        self.encoded = torch.zeros(len(order), dtype=torch.bool, device=tower.device)
        self.num_patches = 0  # encoded so far
        self.memory = Memory(len(order) * unit)

    @torch.inference_mode()
    def encode(self, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The windows that hold a token of `wanted` (N,) bool, raster order, and were not encoded before.

        Returns: index (K,) int64 of the tokens that this gave, raster order; tokens (K, D); features (K, M, F);
            received (K,) float32, in units of one token among N, whatever part of the picture was encoded.
        """
        asked = torch.zeros(int(self.window.max()) + 1, dtype=torch.bool, device=self.window.device)
        asked[self.window[wanted.to(asked.device)]] = True
        here = self.order[(asked[self.window] & ~self.encoded)[self.order]]  # in the tower's order
        tower = self.blocks.tower
        if len(here) == 0:
            none = self.patches.new_zeros(0)
            return here, none.view(0, 1), none.view(0, 1, 1), none
        patches = self.patches[here.to(self.patches.device)].flatten(0, 1).to(tower.device, tower.dtype)
        features = tower.patch_embed(patches).view(len(here), self.patches.shape[1], -1)
        image = torch.zeros_like(here)
        tokens = Tokens.start(features, self.position[here], self.window[here], image, image.bool())
        tokens = walk(self.blocks, tokens, memory=self.memory)
        self.encoded[here] = True
        self.num_patches += len(patches)
        raster = torch.argsort(here)
        received = torch.zeros(len(here), device=here.device) if tokens.received is None else tokens.received
        visual = tower.merger(tokens.states.flatten(0, 1))
        return here[raster], visual[raster], tokens.states[raster], received[raster]
