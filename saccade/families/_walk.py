"""One walk through a vision tower, block by block: with a reduction on the way, or with what was encoded before.

The same loop runs every tower, given what differs (`Blocks`). Tokens are packed one after the other; a token is M
patches that stay together. A merged token stands, and has its rotary position, at the centroid of the tokens it was
made of; as a key it counts once for each of them. A picture that is encoded in several passes brings its `Memory`:
blocks without windows attend to everything that has passed them.
"""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from saccade.families._received import received
from saccade.geometry.rotary import rotate
from saccade.reduction import Reduction, Stage
from saccade.tokens.merging import merge, pack, pad_groups, total

SMALL_GROUP = 256  # patches


class Blocks(Protocol):
    """What differs between towers. `states` are (patches, F), one after the other."""

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


class Memory:
    """Keys and values of one picture's tokens encoded so far, in each block without windows. Grows with each walk."""

    def __init__(self, num_patches: int) -> None:
        self.num_patches = num_patches  # of the whole picture
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def add(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All that this block has seen, (patches, heads, C) each, with `key` and `value` at the end."""
        if layer in self._kept:
            before = self._kept[layer]
            key, value = torch.cat([before[0], key]), torch.cat([before[1], value])
        self._kept[layer] = key, value
        return key, value


def walk(
    blocks: Blocks,
    tokens: Tokens,
    reduction: Reduction | None = None,
    memory: Memory | None = None,
    listen: bool = True,
) -> Tokens:
    """Tokens as they leave the tower.

    `reduction` may merge or drop some after each attention. With a `memory` all tokens are of one picture, part of
    which may have been encoded before; no reduction then. `listen` sums the attention that tokens receive, which costs
    as much as a block without windows.
    """
    stopping = reduction is not None and reduction.stopping
    groups: dict[bool, tuple[Tensor, Tensor]] = {}
    turn = _turn(blocks, tokens)
    for layer in range(blocks.num_layers):
        start, full, before = tokens.states, blocks.full(layer), tokens.into
        hears = listen and (layer == blocks.listening or (stopping and full))
        if full not in groups:
            groups[full] = pad_groups(tokens.image if full else tokens.window)
        if memory is not None and full:
            tokens = _recalled(blocks, layer, tokens, turn, memory, hears)
        else:
            proportional = reduction is not None and reduction.proportional
            hears &= memory is None  # attention received in a window says nothing of the page
            tokens, keys = _attended(blocks, layer, tokens, turn, groups[full], proportional, hears)
            if reduction is not None:
                tokens, start = _reduced(blocks, layer, tokens, keys, groups[full], reduction, start)
                if tokens.into is not before:
                    groups, turn = {}, _turn(blocks, tokens)
        states = tokens.states.flatten(0, 1)
        states = states + blocks.mlp(layer, states)
        level = blocks.level(layer, states)
        levels = tokens.levels if level is None else (*tokens.levels, level)
        tokens = replace(tokens, states=states.view_as(tokens.states), levels=levels)
        if reduction is not None and reduction.stopping and reduction.stops(layer, start, tokens.states):
            break
    return tokens


Turn = tuple[Tensor, Tensor] | None  # cosines and sines (patches, 1, C / 2) of positions; None: the states hold them


def _turn(blocks: Blocks, tokens: Tokens) -> Turn:
    if tokens.position is None:
        return None
    cos, sin = blocks.turns(tokens.position.flatten(0, 1))
    return cos.unsqueeze(1), sin.unsqueeze(1)


def _reduced(
    blocks: Blocks,
    layer: int,
    tokens: Tokens,
    keys: Tensor,
    groups: tuple[Tensor, Tensor],
    reduction: Reduction,
    start: Tensor,
) -> tuple[Tokens, Tensor]:
    """The tokens after a reduction's decision, and `start`, the states before the block, merged like them."""
    index, valid = groups
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
    if decided is None:
        return tokens, start
    into, num = pack(decided[0], valid, index)
    weight = torch.ones_like(tokens.size)
    weight[index[valid]] = decided[1][valid].float()
    states = reduction.mean(tokens.states, into, weight, num)
    return tokens.merged(into, weight, num, states), merge(start, into, weight, num)


def _turned(blocks: Blocks, layer: int, tokens: Tokens, turn: Turn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys and values (patches, heads, C) of a block, at their positions; keys also without."""
    query, bare, value = blocks.project(layer, tokens.states.flatten(0, 1))
    if turn is None:
        return query, bare, value, bare
    return rotate(query, *turn), rotate(bare, *turn), value, bare


def _recalled(blocks: Blocks, layer: int, tokens: Tokens, turn: Turn, memory: Memory, listen: bool) -> Tokens:
    """The tokens after a block's attention to all that the memory holds of their picture, themselves included.

    Attention received is in units of one token among all of the picture's, whatever part of it was encoded.
    """
    num_tok, num_patches, _ = tokens.states.shape
    query, key, value, _ = _turned(blocks, layer, tokens, turn)
    q, k, v = (each.transpose(0, 1) for each in (query, *memory.add(layer, key, value)))
    attention = tokens.received
    if listen:
        share = received(q, k, blocks.scaling)[-len(query) :].view(num_tok, num_patches).sum(-1)
        attention = share * (k.shape[1] / memory.num_patches)
    mixed = scaled_dot_product_attention(q[None], k[None], v[None], scale=blocks.scaling)[0]
    states = tokens.states.flatten(0, 1) + blocks.join(layer, mixed.transpose(0, 1).flatten(1))
    return replace(tokens, states=states.view_as(tokens.states), received=attention)


def _attended(
    blocks: Blocks,
    layer: int,
    tokens: Tokens,
    turn: Turn,
    groups: tuple[Tensor, Tensor],
    proportional: bool,
    listen: bool,
) -> tuple[Tokens, Tensor]:
    """The tokens after a block's attention, and its keys (T, M, C): mean over heads, without positions."""
    num_tok, num_patches, _ = tokens.states.shape
    query, key, value, bare = _turned(blocks, layer, tokens, turn)
    size = tokens.size if proportional else torch.ones_like(tokens.size)
    index, valid = groups
    q, k, v = _grouped(torch.stack((query, key, value), 1), index, num_patches)
    bias = _bias(size, index, valid, num_patches, query.dtype)
    mixed = _mixed(q, k, v, bias, blocks.scaling)
    mixed = mixed.transpose(1, 2).reshape(*index.shape, -1)  # (G, S, M * heads * C)
    back = mixed.new_empty(num_tok, mixed.shape[-1])
    back[index[valid]] = mixed[valid]
    states = tokens.states.flatten(0, 1) + blocks.join(layer, back.view(num_tok * num_patches, -1))
    attention = tokens.received
    if listen:
        counts = (torch.bincount(tokens.image) * num_patches).tolist()
        per_patch = size.repeat_interleave(num_patches)
        parts = zip(*(torch.split(each, counts) for each in (query, key, per_patch)), strict=True)
        images = [received(q.transpose(0, 1), k.transpose(0, 1), blocks.scaling, s) for q, k, s in parts]
        attention = torch.cat(images).view(num_tok, num_patches).sum(-1)
    bare_mean = bare.mean(1).view(num_tok, num_patches, -1)
    return replace(tokens, states=states.view_as(tokens.states), received=attention), bare_mean


def _mixed(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scaling: float) -> Tensor:
    """Attention in groups, (G, heads, L, C); small ones by hand on a CPU, where PyTorch's fused kernel is slower."""
    if query.is_cuda or query.shape[2] > SMALL_GROUP:
        return scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scaling)
    scores = (query * scaling) @ key.transpose(2, 3)
    return (scores if bias is None else scores + bias).softmax(-1) @ value


def _grouped(heads: Tensor, index: Tensor, num_patches: int) -> Tensor:
    """(T * M, 3, heads, C) as the groups (G, S) of `index`: (3, G, heads, S * M, C)."""
    groups = heads.view(-1, num_patches, *heads.shape[1:]).index_select(0, index.flatten())
    return groups.view(len(index), -1, *heads.shape[1:]).permute(2, 0, 3, 1, 4)


def _bias(size: Tensor, index: Tensor, valid: Tensor, num_patches: int, dtype: torch.dtype) -> Tensor | None:
    """(G, 1, 1, S * M) added to attention: the logarithm of each key's size, minus infinity at padding."""
    if bool(valid.all()) and bool((size == 1).all()):
        return None
    bias = size[index].log().masked_fill(~valid, float("-inf")).to(dtype)
    return bias.repeat_interleave(num_patches, dim=1)[:, None, None]
