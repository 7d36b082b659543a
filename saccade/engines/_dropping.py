"""A decoder that drops visual tokens between its layers: each stage runs on what the one before kept.

Keys and values of a layer are those of the tokens it saw, so the layers of one cache differ in length. Tokens keep
their positions. Without cuts the states equal, bit for bit, those of one call of the untouched decoder.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from saccade.engines._attention import attention_of_last, heads_of
from saccade.errors import ConfigError
from saccade.families import Family
from saccade.reduction._drop import Cut


class Staged:
    """One prompt, read once: `prefill` it, then `step` token by token."""

    def __init__(self, family: Family, cuts: Sequence[Cut]) -> None:
        """Raises ConfigError: a layer of the decoder attends to a sliding window."""
        from transformers import DynamicCache

        self.decoder, self.cuts = family.language_model, tuple(cuts)
        kinds = set(getattr(self.decoder.config, "layer_types", None) or ()) - {"full_attention"}
        if kinds:
            raise ConfigError(f"engine.drop needs a decoder with full attention; this one has {', '.join(kinds)}")
        self.cache = DynamicCache(config=self.decoder.config)
        self.kept: list[Tensor] = []  # after each cut: which of the canvas's tokens go on, (keep,) int64, increasing

    def prefill(self, embeds: Tensor, positions: Tensor, start: int, num_tok: int) -> Tensor:
        """Runs (1, T, D * (1 + L)) embeddings at positions (P, T), of which `num_tok` from `start` on are visual.

        Returns: (1, T', D) last hidden states of the tokens that the last layer saw.
        """
        hidden, levels, turn = self._begin(embeds, positions)
        visual = torch.arange(num_tok, device=hidden.device)
        ranked = torch.empty(0)
        for number, layer in enumerate(self.decoder.layers):
            for cut in (cut for cut in self.cuts if cut.before == number):
                if cut.rank == number:
                    ranked = last_attention(layer, hidden, turn)
                best = ranked[start : start + len(visual)].topk(cut.keep).indices.sort().values
                everything = torch.arange(hidden.shape[1], device=hidden.device)
                stay = torch.cat([everything[:start], start + best, everything[start + len(visual) :]])
                hidden, levels, turn = hidden[:, stay], [e[:, stay] for e in levels], [e[:, stay] for e in turn]
                visual = visual[best]
                self.kept.append(visual)
            if any(cut.rank == number < cut.before for cut in self.cuts):
                ranked = last_attention(layer, hidden, turn)
            hidden = self._layer(number, hidden, levels, turn)
        return self.decoder.norm(hidden)  # type: ignore[no-any-return]

    def step(self, embeds: Tensor, position: Tensor) -> Tensor:
        """Runs one more token, (1, D) at position (P, 1); its last hidden state (1, D)."""
        hidden, levels, turn = self._begin(embeds[:, None], position)
        for number in range(len(self.decoder.layers)):
            hidden = self._layer(number, hidden, levels, turn)
        return self.decoder.norm(hidden)[:, -1]  # type: ignore[no-any-return]

    def _begin(self, embeds: Tensor, positions: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """First states (1, T, D), what DeepStack adds to them after each layer, and cosines and sines (1, T, head)."""
        hidden, *levels = torch.split(embeds, self.decoder.config.hidden_size, dim=-1)
        places = positions.to(hidden.device)
        return hidden, levels, list(self.decoder.rotary_emb(hidden, places[:, None] if len(places) > 1 else places))

    def _layer(self, number: int, hidden: Tensor, levels: list[Tensor], turn: list[Tensor]) -> Tensor:
        from transformers.masking_utils import create_causal_mask

        mask = None  # a single token attends to all there is in this layer's cache, whatever is in the others
        if hidden.shape[1] > 1:
            mask = create_causal_mask(
                config=self.decoder.config, inputs_embeds=hidden, attention_mask=None, past_key_values=None
            )
        hidden = self.decoder.layers[number](
            hidden,
            attention_mask=mask,
            position_ids=None,
            position_embeddings=tuple(turn),
            past_key_values=self.cache,
            use_cache=True,
        )
        return hidden + levels[number] if number < len(levels) else hidden


def last_attention(layer: Any, hidden: Tensor, turn: Sequence[Tensor]) -> Tensor:
    """(T,) float32: attention that the last of (1, T, D) states pays to each in a decoder layer, mean over heads.

    `turn`: cosines and sines (1, T, head width) as transformers gives them, each plane's twice.
    """
    attention, states = layer.self_attn, layer.input_layernorm(hidden[0])
    query = heads_of(attention, "q", states[-1:], [each[:, -1:] for each in turn])
    return attention_of_last(query, heads_of(attention, "k", states, turn), attention.scaling)
