"""A windowed tower that encodes window by window, where something is looked at (R8).

Up to the tower's first block without windows a window's states depend on its own patches alone: encoding it later is
exact. In a block without windows tokens attend to what has been encoded so far, whose keys and values are kept, and not
to what comes later: an approximation, unless all windows are asked for at once; then it is the whole encoding.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.vision_utils import get_vision_position_ids

from saccade.families import Prepared
from saccade.families._qwen_tower import QwenBlocks
from saccade.families._received import received
from saccade.geometry.rotary import rotate
from saccade.tokens.merging import padded


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
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}  # of blocks without windows: (patches, heads, C) each

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
        states, heard = self._through(tower.patch_embed(patches), here)
        self.encoded[here] = True
        self.num_patches += len(patches)
        raster = torch.argsort(here)
        features = states.view(len(here), self.patches.shape[1], -1)
        return here[raster], tower.merger(states)[raster], features[raster], heard[raster]

    def _through(self, states: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
        """(patches, F) of tokens `here` through all blocks, and the attention (K,) that they receive."""
        unit = self.patches.shape[1]
        cos, sin = (turn.unsqueeze(1) for turn in self.blocks.turns(self.position[here].flatten(0, 1)))
        index, valid = padded(self.window[here].repeat_interleave(unit))
        hidden = None if bool(valid.all()) else valid[:, None, None]
        heard = torch.zeros(len(here), device=states.device)
        for layer in range(self.blocks.num_layers):
            query, key, value = self.blocks.project(layer, states)
            query, key = rotate(query, cos, sin), rotate(key, cos, sin)
            if self.blocks.full(layer):
                key, value = self._keep(layer, key, value)
                q, k, v = (each.transpose(0, 1) for each in (query, key, value))
                if layer == self.blocks.listening:
                    share = received(q, k, self.blocks.scaling)[-len(query) :].view(-1, unit).sum(-1)
                    heard = share * (len(key) / len(self.position) / unit)
                mixed = scaled_dot_product_attention(q[None], k[None], v[None], scale=self.blocks.scaling)[0]
                mixed = mixed.transpose(0, 1).flatten(1)
            else:
                q, k, v = (each[index].transpose(1, 2) for each in (query, key, value))
                out = scaled_dot_product_attention(q, k, v, attn_mask=hidden, scale=self.blocks.scaling)
                mixed = torch.empty_like(query.flatten(1))
                mixed[index[valid]] = out.transpose(1, 2).flatten(2)[valid]
            states = states + self.blocks.join(layer, mixed)
            states = states + self.blocks.mlp(layer, states)
        return states, heard

    def _keep(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """What this block has seen so far, with what is new behind it."""
        if layer in self._kept:
            before = self._kept[layer]
            key, value = torch.cat([before[0], key]), torch.cat([before[1], value])
        self._kept[layer] = key, value
        return key, value
