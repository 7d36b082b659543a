"""The Qwen-VL towers as `Blocks`: their own layers, called one by one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.vision_utils import get_vision_position_ids

from saccade.families import Prepared
from saccade.families._walk import Tokens, walk
from saccade.reduction import Reduction
from saccade.tokens.merging import merged_grid
from saccade.types import Encoding


class QwenBlocks:
    """Blocks of a Qwen-VL tower; `full` are those without windows."""

    def __init__(self, tower: Any, full: Sequence[int]) -> None:
        self.tower, self.blocks, self._full = tower, tower.blocks, set(full)
        self.num_layers = len(tower.blocks)
        self.listening = max(self._full, default=self.num_layers - 1)
        self.scaling = float(tower.blocks[0].attn.scaling)
        self._levels = list(getattr(tower, "deepstack_visual_indexes", []))

    def full(self, layer: int) -> bool:
        """Whether this block has no windows."""
        return layer in self._full

    def project(self, layer: int, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of (patches, F): (patches, heads, C)."""
        block = self.blocks[layer]
        heads = block.attn.qkv(block.norm1(states)).view(len(states), 3, block.attn.num_heads, -1)
        query, key, value = heads.unbind(1)
        return query, key, value

    def turns(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine (patches, C / 2) at rows and columns (patches, 2), whole or not."""
        cos, sin = (turn.chunk(2, dim=-1)[0].float() for turn in self.tower.rotary_pos_emb(position, position))
        return cos, sin

    def join(self, layer: int, mixed: Tensor) -> Tensor:
        """What attention adds."""
        return self.blocks[layer].attn.proj(mixed)  # type: ignore[no-any-return]

    def mlp(self, layer: int, states: Tensor) -> Tensor:
        """What the MLP adds."""
        block = self.blocks[layer]
        return block.mlp(block.norm2(states))  # type: ignore[no-any-return]

    def level(self, layer: int, states: Tensor) -> Tensor | None:
        """Qwen3-VL's DeepStack."""
        if layer not in self._levels:
            return None
        return self.tower.deepstack_merger_list[self._levels.index(layer)](states)  # type: ignore[no-any-return]


def start(
    states: Tensor, grid_thw: Tensor, merge: int, cells: Tensor, window: Tensor, image: Tensor, side: Tensor
) -> tuple[Tokens, Tensor]:
    """Embedded patches (patches, F), in the processor's order, as tokens window by window; and that order, (tokens,).

    cells: (tokens,) of whole grids one after the other; window, image: (tokens,) where each attends; side: (tokens,)
    float32, how many times larger than a cell a token is, whose patches then stand at the centres of what they cover.
    """
    unit = merge**2
    position = get_vision_position_ids(grid_thw, merge).float().view(-1, unit, 2)[cells]
    corner = position[:, :1]
    position = corner + (position - corner + 0.5) * side[:, None, None] - 0.5
    order = torch.argsort(window, stable=True)
    fixed = torch.zeros(len(order), dtype=torch.bool, device=states.device)
    states = states.view(len(order), unit, -1)
    return Tokens.start(states[order], position[order], window[order], image[order], fixed), order


def encode(
    blocks: QwenBlocks,
    batch: Sequence[Prepared],
    tokens: Tokens,
    order: Tensor,
    reduction: Reduction | None,
    name: str,
) -> list[Encoding]:
    """A batch of pictures through a tower, with a reduction in it or without; `tokens` and `order` as from `start`."""
    tokens = walk(blocks, tokens, reduction, listen=any(item.received for item in batch))
    visual = blocks.tower.merger(tokens.states.flatten(0, 1))
    into = torch.empty_like(tokens.into)
    into[order] = tokens.into  # in raster order
    kept = torch.bincount(tokens.image, minlength=len(batch)).tolist()
    columns = [visual, tokens.states, _received(tokens), *tokens.levels]
    parts = zip(*(torch.split(column, kept) for column in columns), strict=True)
    encodings, first = [], 0
    pictures = torch.split(into, [len(item.grid) for item in batch])
    for item, num, cells, part in zip(batch, kept, pictures, parts, strict=True):
        grid, where = item.grid, cells - first
        if reduction is not None:
            grid, where = merged_grid(item.grid, torch.where(cells >= 0, where, -1).cpu(), num)
        first += num
        merged, features, seen, *levels = (column[where.to(column.device)] for column in part)
        patches = item.patches.shape[0]  # what entered the tower, whatever left it
        deepstack = torch.stack(levels, 1) if levels else None
        fingerprint = f"{name}-{item.view}"
        encodings.append(Encoding(merged, features, seen, grid, item.picture_hash, fingerprint, patches, deepstack))
    return encodings


def _received(tokens: Tokens) -> Tensor:
    """Attention received; NaN if it was not asked for, or the tower stopped before its first block without windows."""
    return torch.full_like(tokens.size, float("nan")) if tokens.received is None else tokens.received
