"""A plain ViT (transformers' ViTModel: ViT-B/16, ViT-L/16, DeiT-S) with a reduction in it, as in ToMe's tables.

Not a family: it reads nothing. `tests.benchmarks.tome` measures reductions on it, and tests compare them with its own
blocks. Its class token is fixed, its positions are in its states.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from saccade.families._walk import Tokens, walk
from saccade.reduction import Reduction

SHAPES = {
    "vit-b16": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "vit-l16": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    "deit-s": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536},
}
"""Widths and depths of the towers of ToMe's tables; 224 px in patches of 16 px are 196 tokens and the class token."""


class ViTBlocks:
    """Blocks of a ViTModel."""

    listening = -1  # nothing asks what its tokens receive

    def __init__(self, model: Any) -> None:
        self.layers, self.num_layers = model.layers, len(model.layers)
        self.scaling = float(model.layers[0].attention.scaling)

    def full(self, layer: int) -> bool:
        """Always: there are no windows."""
        return True

    def project(self, layer: int, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of (tokens, F): (tokens, heads, C)."""
        block = self.layers[layer]
        attention, states = block.attention, block.layernorm_before(states)
        shape = len(states), attention.num_attention_heads, attention.head_dim
        query, key, value = (
            part(states).view(shape) for part in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        return query, key, value

    def turns(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Not used: positions are in the states."""
        raise NotImplementedError

    def join(self, layer: int, mixed: Tensor) -> Tensor:
        """What attention adds."""
        return self.layers[layer].attention.o_proj(mixed)  # type: ignore[no-any-return]

    def mlp(self, layer: int, states: Tensor) -> Tensor:
        """What the MLP adds."""
        block = self.layers[layer]
        return block.mlp(block.layernorm_after(states))  # type: ignore[no-any-return]

    def level(self, layer: int, states: Tensor) -> Tensor | None:
        """None: only Qwen3-VL has levels."""
        return None


def encode(model: Any, pixels: Tensor, reduction: Reduction) -> Tokens:
    """(B, 3, H, W) through a ViTModel with a reduction in it; the last states are after its final norm.

    The first token of each image is its class token. A reduction that does nothing leaves the model to itself.
    """
    if not reduction.active(len(model.layers)):
        states = model(pixels).last_hidden_state
        return _packed(states)
    tokens = walk(ViTBlocks(model), _packed(model.embeddings(pixels)), reduction)
    return replace(tokens, states=model.layernorm(tokens.states))


def _packed(states: Tensor) -> Tokens:
    """(B, N, F) with the class token first."""
    images, length, width = states.shape
    image = torch.arange(images, device=states.device).repeat_interleave(length)
    fixed = (torch.arange(length, device=states.device) == 0).repeat(images)
    return Tokens.start(states.reshape(-1, 1, width), None, image, image, fixed)
