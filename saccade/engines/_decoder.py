"""A decoder run layer by layer: one canvas that stays in memory, and many questions about it at once.

The keys and values of a canvas go into memory that is reserved ahead, so that neither a look nor an answer's token
copies what is there. A question attends to the canvas and to its own tokens, never to another question; so the canvas's
keys are multiplied once, with the queries of all questions.

B questions, T tokens, L tokens on the canvas, H heads, G of them key heads, C head width, P position axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from saccade.clock import stage
from saccade.errors import ConfigError
from saccade.geometry.rotary import rotate

ABSENT = 1e-6  # added to weights: the logarithm of 0, and its gradient, would not be finite
AHEAD_TOK = 512  # reserved beyond what is asked for, at least
CHUNK_BYTES = 512 * 2**20  # of attention weights that are held at once; some copies of them are
PADDING = 1.5  # times what questions attend to themselves that they may, padded to the longest of a pass
FEW_PAIRS = 2**22  # of queries and keys, up to which any padding costs less than another pass


class Memory:
    """Keys and values of one growing canvas, per layer (2, G, L, C)."""

    def __init__(self, num_layers: int) -> None:
        self.length = 0  # L
        self._stores: list[Tensor] = [torch.empty(0)] * num_layers

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Writes (G, T, C) at the end; returns all keys and values (G, L + T, C). They count once `grown` is called."""
        store, total = self._stores[layer], self.length + key.shape[1]
        if store.ndim == 1 or store.shape[2] < total:
            larger = key.new_empty(2, key.shape[0], total + max(AHEAD_TOK, total // 4), key.shape[2])
            if store.ndim > 1:
                larger[:, :, : self.length] = store[:, :, : self.length]
            self._stores[layer] = store = larger
        store[0, :, self.length : total], store[1, :, self.length : total] = key, value
        return store[0, :, :total], store[1, :, :total]

    def grown(self, num_tok: int) -> None:
        """Counts `num_tok` more tokens, after every layer was extended by them."""
        self.length += num_tok

    def kept(self, layer: int) -> tuple[Tensor, Tensor]:
        """(G, L, C) keys and values; views, not copies."""
        store = self._stores[layer]
        return store[0, :, : self.length], store[1, :, : self.length]

    def copy(self, length: int) -> "Memory":
        """The first `length` tokens, in memory of their own."""
        copied = Memory(len(self._stores))
        for layer in range(len(self._stores)):
            key, value = self.kept(layer)
            copied.extend(layer, key[:, :length], value[:, :length])
        copied.grown(length)
        return copied


@dataclass
class Talk:
    """Keys and values of B questions and their answers so far, after one canvas."""

    decoder: "Decoder"
    memory: Memory
    present: Tensor  # (B, S) bool
    stores: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # per layer (B, G, S, C)
    queries: Tensor = field(default_factory=lambda: torch.empty(0))  # (B, H, T, C) of the layer listened to
    to_canvas: Tensor = field(default_factory=lambda: torch.empty(0))  # (all B, L) float32, by `note`; shared by `some`
    row: Tensor = field(default_factory=lambda: torch.empty(0))  # (B,) int64, of each question in `to_canvas`

    def some(self, rows: Tensor) -> "Talk":
        """Some of the questions."""
        stores = [(key[rows], value[rows]) for key, value in self.stores]
        return Talk(self.decoder, self.memory, self.present[rows], stores, to_canvas=self.to_canvas, row=self.row[rows])

    def note(self, attention: Tensor) -> None:
        """Notes the attention (B, L) of each newest token to the canvas, where it is the most of any token so far."""
        self.to_canvas[self.row] = torch.maximum(self.to_canvas[self.row], attention)

    def step(self, embeds: Tensor, positions: Tensor) -> Tensor:
        """One more token of each question, (B, D) at positions (P, B); their last hidden states (B, D)."""
        self.present = pad(self.present, (0, 1), value=True)
        newest = torch.zeros_like(self.row)
        return self.decoder.run(self, embeds[:, None], positions[..., None], self.present[:, None], newest)[:, 0]


class Decoder:
    """The language model of a checkpoint of any family, with its own layers."""

    def __init__(self, model: Any) -> None:
        """Raises ConfigError: a layer attends to a sliding window."""
        self.model = model
        kinds = set(getattr(model.config, "layer_types", None) or ()) - {"full_attention"}
        if kinds:
            raise ConfigError(f"the decoder of this checkpoint has layers of {', '.join(kinds)}; saccade reads none")

    def memory(self) -> Memory:
        """The memory of an empty canvas."""
        return Memory(len(self.model.layers))

    @stage("prefill")
    def grow(self, memory: Memory, embeds: Tensor, positions: Tensor) -> None:
        """Appends (T, D * (1 + levels)) embeddings at positions (P, T) to a canvas."""
        hidden, levels, turn = self._begin(embeds[None], positions[:, None])
        num_tok = embeds.shape[0]
        mask = None
        if memory.length:
            mask = torch.ones(num_tok, memory.length + num_tok, dtype=torch.bool, device=hidden.device)
            mask = mask.tril(memory.length)
        for number, layer in enumerate(self.model.layers):
            query, key, value = _project(layer, hidden, turn)
            key, value = memory.extend(number, key[0], value[0])
            mixed = scaled_dot_product_attention(
                query, key[None], value[None], attn_mask=mask, is_causal=mask is None, scale=layer.self_attn.scaling,
                enable_gqa=query.shape[1] != key.shape[0],
            )  # fmt: skip
            hidden = _finish(layer, hidden, mixed)
            if number < len(levels):
                hidden = hidden + levels[number]
        memory.grown(num_tok)

    def weighed(self, embeds: Tensor, positions: Tensor, weight: Tensor) -> Tensor:
        """(T, D) last hidden states of one prompt, with gradients; nothing is kept.

        Other tokens attend to token j as if there were weight[j] of it, in [0, 1]: at 1 it is there, at 0 it is not.
        What it computes itself is the same at any weight, so that the gradient says what one more token would be worth.
        """
        hidden, levels, turn = self._begin(embeds[None], positions[:, None])
        num_tok = len(embeds)
        ones = torch.ones(num_tok, num_tok, dtype=torch.bool, device=hidden.device)
        bias = (weight + ABSENT).log().expand(num_tok, -1)
        bias = bias.masked_fill(torch.eye(num_tok, dtype=torch.bool, device=hidden.device), 0.0)
        bias = bias.masked_fill(~ones.tril(), float("-inf")).to(hidden.dtype)[None, None]
        for number, layer in enumerate(self.model.layers):
            query, key, value = _project(layer, hidden, turn)
            mixed = scaled_dot_product_attention(
                query, key, value, attn_mask=bias, scale=layer.self_attn.scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )  # fmt: skip
            hidden = _finish(layer, hidden, mixed)
            if number < len(levels):
                hidden = hidden + levels[number]
        return self.model.norm(hidden)[0]  # type: ignore[no-any-return]

    @stage("prefill")
    def ask(
        self, memory: Memory, embeds: Sequence[Tensor], positions: Sequence[Tensor], listen: int | None = None
    ) -> tuple[Talk, Tensor]:
        """B questions of (T_b, D) embeddings at positions (P, T_b) after a canvas.

        Returns: the talk, and the last hidden state (B, D) of each. With `listen` the talk has that layer's queries.
        """
        lengths = torch.tensor([len(embed) for embed in embeds], device=embeds[0].device)
        longest = int(lengths.max())
        batch = torch.stack([pad(embed, (0, 0, 0, longest - len(embed))) for embed in embeds])
        places = torch.stack([pad(place, (0, longest - place.shape[1])) for place in positions], 1)  # (P, B, T)
        at, row = torch.arange(longest, device=batch.device), torch.arange(len(embeds), device=batch.device)
        to_canvas = torch.zeros(len(embeds), memory.length, device=batch.device)
        talk = Talk(self, memory, at < lengths[:, None], to_canvas=to_canvas, row=row)
        causal = (at <= at[:, None]) & talk.present[:, None]  # (B, T, T)
        hidden = self.run(talk, batch, places, causal, lengths - 1, listen)
        return talk, hidden[row, lengths - 1]

    def run(
        self, talk: Talk, embeds: Tensor, positions: Tensor, mask: Tensor, newest: Tensor, listen: int | None = None
    ) -> Tensor:
        """(B, T, D) last hidden states. mask: (B, T, S) which own tokens each may see; newest (B,): its last token."""
        hidden, _, turn = self._begin(embeds, positions)
        late = len(self.model.layers) // 2  # earlier layers attend to what is near, whatever the question
        attention = torch.zeros_like(talk.to_canvas[talk.row])
        for number, layer in enumerate(self.model.layers):
            query, key, value = _project(layer, hidden, turn)
            if number == listen:
                talk.queries = query
            if number < len(talk.stores):
                before = talk.stores[number]
                key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
                talk.stores[number] = key, value
            else:
                talk.stores.append((key, value))
            scaling = layer.self_attn.scaling
            mixed, on_canvas = attend(query, *talk.memory.kept(number), key, value, mask, scaling, newest)
            hidden = _finish(layer, hidden, mixed)
            if number >= late:
                attention += on_canvas / (len(self.model.layers) - late)
        talk.note(attention)
        return self.model.norm(hidden)  # type: ignore[no-any-return]

    def _begin(self, embeds: Tensor, positions: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """First states (B, T, D), what DeepStack adds after each layer, and cosines and sines (B, 1, T, C / 2)."""
        hidden, *levels = torch.split(embeds, self.model.config.hidden_size, dim=-1)
        places = positions.to(hidden.device)
        turn = self.model.rotary_emb(hidden, places if len(places) > 1 else places[0])
        return hidden, levels, [each.float().chunk(2, dim=-1)[0].unsqueeze(1) for each in turn]


def passes(lengths: Sequence[int], canvas_tok: int, most: int) -> list[slice]:
    """Runs of questions of so many tokens each, in order, that are read in one pass of at most `most`.

    Those of a pass are padded to its longest: a long question among short ones is read by itself.
    """
    runs, start, longest, own = list[slice](), 0, 0, 0
    for at, length in enumerate(lengths):
        pairs = length * (canvas_tok + length)
        padded = (at + 1 - start) * max(longest, pairs)
        if at - start == most or (at > start and padded > max(FEW_PAIRS, PADDING * (own + pairs))):
            runs.append(slice(start, at))
            start, longest, own = at, 0, 0
        longest, own = max(longest, pairs), own + pairs
    return [*runs, slice(start, len(lengths))]


def wide(embeds: Sequence[Tensor]) -> Tensor:
    """(T, .) one after the other; text gets zeros where visual tokens have DeepStack levels."""
    width = max(embed.shape[-1] for embed in embeds)
    return torch.cat([pad(embed, (0, width - embed.shape[-1])) for embed in embeds])


def attend(
    query: Tensor,
    canvas_key: Tensor,
    canvas_value: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float,
    newest: Tensor,
) -> tuple[Tensor, Tensor]:
    """Attention of B questions to one canvas and to their own tokens: (B, H, T, C).

    Also returns (B, L) float32: the attention of token `newest` (B,) of each question to the canvas, mean over heads.

    query (B, H, T, C); canvas_key, canvas_value (G, L, C); key, value (B, G, S, C); mask (B, T, S) bool. The canvas is
    multiplied once, with the queries of all questions and of all heads that share a key. In chunks of queries.
    """
    batch, heads, num_tok, _ = query.shape
    step = max(1, CHUNK_BYTES // (4 * batch * heads * (canvas_key.shape[1] + key.shape[2])))
    row, mixed = torch.arange(batch, device=newest.device), []
    if num_tok <= step:
        whole, by_head = _attend(query, canvas_key, canvas_value, key, value, mask, scaling)
        return whole, by_head[row, :, newest].float().mean(1)
    to_canvas = torch.zeros(batch, canvas_key.shape[1], device=query.device)
    for first in range(0, num_tok, step):
        some = slice(first, first + step)
        part, by_head = _attend(query[:, :, some], canvas_key, canvas_value, key, value, mask[:, some], scaling)
        mixed.append(part)
        at = newest - first
        paid = by_head[row, :, at.clamp(0, by_head.shape[2] - 1)].float().mean(1)  # (B, L)
        to_canvas = torch.where(((at >= 0) & (at < step))[:, None], paid, to_canvas)
    return torch.cat(mixed, 2), to_canvas


def _attend(
    query: Tensor, canvas_key: Tensor, canvas_value: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    """Of some queries, as `attend`; and the attention of each of them to the canvas, (B, H, T, L)."""
    batch, heads, num_tok, width = query.shape
    groups = canvas_key.shape[0]
    shared = (query * scaling).view(batch, groups, heads // groups * num_tok, width)
    on_canvas = shared.transpose(0, 1).flatten(1, 2) @ canvas_key.transpose(1, 2)  # (G, B * H / G * T, L)
    on_canvas = on_canvas.view(groups, batch, -1, canvas_key.shape[1]).transpose(0, 1)  # (B, G, H / G * T, L)
    own = (shared @ key.transpose(2, 3)).view(batch, groups, -1, num_tok, key.shape[2])
    own = own.masked_fill(~mask[:, None, None], float("-inf")).flatten(2, 3)
    weights = torch.cat([on_canvas, own], -1).softmax(-1, dtype=torch.float32).to(query.dtype)
    on_canvas, own = weights[..., : canvas_key.shape[1]], weights[..., canvas_key.shape[1] :]
    by_head = on_canvas.reshape(batch, heads, num_tok, -1)
    seen = on_canvas.transpose(0, 1).flatten(1, 2) @ canvas_value  # (G, B * H / G * T, C)
    mixed = seen.view(groups, batch, -1, width).transpose(0, 1) + own @ value
    return mixed.reshape(batch, heads, num_tok, width), by_head


def projected(attention: Any, which: str, states: Tensor) -> Tensor:
    """Queries ("q"), keys ("k") or values ("v") (..., heads, C) of normed states (..., D), without positions."""
    heads: Tensor = getattr(attention, f"{which}_proj")(states).unflatten(-1, (-1, attention.head_dim))
    norm = getattr(attention, f"{which}_norm", None)  # some families have one for queries and keys
    return heads if norm is None else norm(heads)


def _project(layer: Any, hidden: Tensor, turn: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B, H, T, C), keys and values (B, G, T, C) of states (B, T, D), at their positions."""
    attention, states = layer.self_attn, layer.input_layernorm(hidden)
    query, key, value = (projected(attention, which, states).transpose(1, 2) for which in "qkv")
    return rotate(query, *turn), rotate(key, *turn), value


def _finish(layer: Any, hidden: Tensor, mixed: Tensor) -> Tensor:
    """The states after a layer whose heads gave (B, H, T, C)."""
    hidden = hidden + layer.self_attn.o_proj(mixed.transpose(1, 2).flatten(2))
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))  # type: ignore[no-any-return]
