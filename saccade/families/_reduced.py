"""A vision tower with a reduction in it: its own weights, block by block, on fewer and fewer tokens.

The same loop runs every tower, given what differs (`Blocks`). Tokens are packed one behind the other; a token is M
patches that stay together. After the first merge a token stands at the centroid of what it was made of, there its
rotary position is, and as a key it counts as many times as it is large.
"""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from saccade.families._received import received
from saccade.geometry.rotary import rotate
from saccade.reduction import Reduction, Stage
from saccade.tokens.merging import merge, packed, padded, total


class Blocks(Protocol):
    """What differs between towers. `states` are (patches, F), one behind the other."""

    num_layers: int
    scaling: float
    listening: int  # the block whose received attention is kept

    def full(self, layer: int) -> bool:
        """Whether all tokens of an image attend to each other in this block; else those of a window do."""
        ...

    def project(self, layer: int, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (patches, heads, C), without positions."""
        ...

    def turns(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine (patches, C / 2) of rotary positions (patches, 2); asked where tokens have positions."""
        ...

    def join(self, layer: int, mixed: Tensor) -> Tensor:
        """What attention adds to the states, from the heads' output (patches, heads * C)."""
        ...

    def mlp(self, layer: int, states: Tensor) -> Tensor:
        """What the second half of the block adds."""
        ...

    def level(self, layer: int, states: Tensor) -> Tensor | None:
        """(tokens, D): the DeepStack level that this block's states give, if it gives one."""
        ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """T packed tokens of some images on their way through a tower."""

    states: Tensor  # (T, M, F)
    position: Tensor | None  # (T, M, 2) float32 row and column of each patch; None: the states hold them
    size: Tensor  # (T,) float32
    window: Tensor  # (T,) int64, what attends to itself in windowed blocks
    image: Tensor  # (T,) int64
    fixed: Tensor  # (T,) bool
    into: Tensor  # (tokens at the start,) int64, where each of them is now; -1 = dropped
    received: Tensor | None = None  # (T,) float32
    levels: tuple[Tensor, ...] = ()  # each (T, D)

    @classmethod
    def start(cls, states: Tensor, position: Tensor | None, window: Tensor, image: Tensor, fixed: Tensor) -> Self:
        """Nothing has merged yet."""
        number = torch.arange(len(states), device=states.device)
        return cls(states, position, torch.ones(len(states), device=states.device), window, image, fixed, number)

    def merged(self, into: Tensor, weight: Tensor, num: int, states: Tensor) -> Self:
        """After token t has gone into slot `into[t]` of num, counting `weight[t]` in its mean; the slots' `states`."""
        kept = into >= 0

        def owner(ids: Tensor) -> Tensor:  # made of several windows (in a full block), it attends in the first of them
            return torch.full((num,), len(into), device=ids.device).scatter_reduce(0, into[kept], ids[kept], "amin")

        now = torch.where(self.into >= 0, into[self.into.clamp(min=0)], -1)
        return replace(
            self,
            states=states,
            position=None if self.position is None else merge(self.position, into, self.size, num),
            size=total(self.size, into, num),
            window=owner(self.window),
            image=owner(self.image),
            fixed=owner(self.fixed.long()).bool(),
            into=now,
            received=None if self.received is None else total(self.received, into, num),
            levels=tuple(merge(level, into, weight, num) for level in self.levels),
        )


def run(blocks: Blocks, tokens: Tokens, reduction: Reduction) -> Tokens:
    """The tower with the reduction in it."""
    for layer in range(blocks.num_layers):
        start = tokens.states
        listen = layer == blocks.listening or (reduction.stopping and blocks.full(layer))
        index, valid = padded(tokens.image if blocks.full(layer) else tokens.window)
        tokens, keys = _attended(blocks, layer, tokens, (index, valid), reduction.proportional, listen)
        stage = Stage(
            layer,
            blocks.num_layers,
            tokens.states[index],
            keys[index],
            tokens.size[index] * valid,
            valid,
            tokens.fixed[index] & valid,
            tokens.image[index[:, 0]],
        )
        decided = reduction.inside(stage)
        if decided is not None:
            into, num = packed(decided[0], valid, index)
            weight = torch.ones_like(tokens.size)
            weight[index[valid]] = decided[1][valid].float()
            states = reduction.mean(tokens.states, into, weight, num)
            tokens, start = tokens.merged(into, weight, num, states), merge(start, into, weight, num)
        states = tokens.states.flatten(0, 1)
        states = states + blocks.mlp(layer, states)
        level = blocks.level(layer, states)
        levels = tokens.levels if level is None else (*tokens.levels, level)
        tokens = replace(tokens, states=states.view_as(tokens.states), levels=levels)
        if reduction.stopping and reduction.stops(layer, start, tokens.states):
            break
    return tokens


def _attended(
    blocks: Blocks, layer: int, tokens: Tokens, groups: tuple[Tensor, Tensor], proportional: bool, listen: bool
) -> tuple[Tokens, Tensor]:
    """The tokens behind a block's attention, and its keys (T, M, C): mean over heads, without positions."""
    num_tok, num_patches, _ = tokens.states.shape
    states = tokens.states.flatten(0, 1)
    query, key, value = blocks.project(layer, states)
    bare = key.mean(1).view(num_tok, num_patches, -1)
    if tokens.position is not None:
        cos, sin = (turn.unsqueeze(1) for turn in blocks.turns(tokens.position.flatten(0, 1)))
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
    size = tokens.size if proportional else torch.ones_like(tokens.size)
    index, valid = groups
    q, k, v = (_grouped(each, index, num_patches) for each in (query, key, value))
    bias = _bias(size, index, valid, num_patches, query.dtype)
    mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=blocks.scaling)
    mixed = mixed.transpose(1, 2).reshape(*index.shape, -1)  # (G, S, M * heads * C)
    back = mixed.new_empty(num_tok, mixed.shape[-1])
    back[index[valid]] = mixed[valid]
    states = states + blocks.join(layer, back.view(num_tok * num_patches, -1))
    heard = tokens.received
    if listen:
        counts = (torch.bincount(tokens.image) * num_patches).tolist()
        per_patch = size.repeat_interleave(num_patches)
        parts = zip(*(torch.split(each, counts) for each in (query, key, per_patch)), strict=True)
        images = [received(q.transpose(0, 1), k.transpose(0, 1), blocks.scaling, s) for q, k, s in parts]
        heard = torch.cat(images).view(num_tok, num_patches).sum(-1)
    return replace(tokens, states=states.view_as(tokens.states), received=heard), bare


def _grouped(heads: Tensor, index: Tensor, num_patches: int) -> Tensor:
    """(T * M, heads, C) as the groups (G, S) of `index`: (G, heads, S * M, C)."""
    groups, length = index.shape
    return heads.view(-1, num_patches, *heads.shape[1:])[index].view(groups, -1, *heads.shape[1:]).transpose(1, 2)


def _bias(size: Tensor, index: Tensor, valid: Tensor, num_patches: int, dtype: torch.dtype) -> Tensor | None:
    """(G, 1, 1, S * M) added to attention: the logarithm of each key's size, minus infinity at padding."""
    if bool(valid.all()) and bool((size == 1).all()):
        return None
    bias = size[index].log().masked_fill(~valid, float("-inf")).to(dtype)
    return bias.repeat_interleave(num_patches, dim=1)[:, None, None]
