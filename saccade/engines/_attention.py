"""What a decoder attends to: a question's attention to the image in one layer, with no answer written.

A mixin of the transformers engine; `saccade.queries` asks it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from saccade.engines._decoder import Decoder, Memory, projected
from saccade.errors import ConfigError, EngineError
from saccade.families import Family
from saccade.geometry.rotary import rotate
from saccade.types import Canvas, Heard

PREFIX = "prefix"  # cache key of the prompt before the image, which all canvases share
MOST_CELLS = 64
"""Attended cells that an answer keeps: enough for a box around two lines of small print."""
SHARE_DIGITS = 4

CHUNK_BYTES = 64 * 2**20
"""Of attention weights that are held at once."""


class Listening:
    """The part of the transformers engine that tells what a question attends to."""

    family: Family
    decoder: Decoder
    check_length: Callable[[Canvas, str], int]
    canvas_memory: Callable[[Canvas], tuple[Memory, tuple[int, ...], int]]
    keep: Callable[[Canvas, Memory, tuple[int, ...]], None]
    _embed: Callable[[Sequence[int]], Tensor]

    @torch.inference_mode()
    def attention(self, canvas: Canvas, question: str, layer: int | None = None) -> Heard:
        """Attention (len(canvas),) that the prompt after the image pays to each visual token.

        Mean over heads and over the tokens of question and template after it, in decoder layer `layer` (from 0; None:
        the middle one). The canvas's keys and values are kept for the reads that follow.

        Raises:
            ConfigError: the decoder has no such layer.
            QuestionError: the prompt is too long.
        """
        started, layers = time.perf_counter(), self.family.language_model.layers
        number = len(layers) // 2 if layer is None else layer
        if not 0 <= number < len(layers):
            raise ConfigError(f"layer {number}: this decoder has layers 0 to {len(layers) - 1}")
        self.check_length(canvas, question)
        prefix, suffix = self.family.prompt(question)
        _, _, after = self.family.positions(canvas, len(prefix), len(suffix))
        memory, ends, cached_tok = self.canvas_memory(canvas)
        talk, _ = self.decoder.ask(memory, [self._embed(suffix)], [after], listen=number)
        keys = torch.cat([memory.kept(number)[0], talk.stores[number][0][0]], 1)
        attention = attention_of_last(talk.queries[0], keys, layers[number].self_attn.scaling)
        self.keep(canvas, memory, ends)
        if not attention.isfinite().all():
            raise EngineError("the model gave attention that is not finite; try --set engine.dtype=float32")
        prefill_tok = ends[-1] - cached_tok + len(suffix)
        return Heard(attention[len(prefix) : ends[-1]].cpu(), prefill_tok, cached_tok, time.perf_counter() - started)


def most_attended(canvas: Canvas, attention: Tensor) -> tuple[tuple[int, float], ...]:
    """The canvas cells that most of the attention (len(canvas),) went to, with their shares; the most first."""
    if not len(canvas) or not attention.isfinite().all() or not attention.sum():
        return ()
    cells = torch.cat([part.row * canvas.cols + part.col for part in canvas.parts]).cpu()
    cells, which = torch.unique(cells, return_inverse=True)  # a glimpse's token may share a cell with another
    shares = torch.zeros(len(cells)).index_add_(0, which, attention / attention.sum())
    most = shares.topk(min(MOST_CELLS, len(cells)))
    cell_shares = zip(cells[most.indices].tolist(), most.values.tolist(), strict=True)
    return tuple((cell, round(share, SHARE_DIGITS)) for cell, share in cell_shares)


def canvas_keys(canvas: Canvas) -> tuple[str, ...]:
    """The cache key of a canvas; that of a longer one begins with it."""
    return (PREFIX, *(part.key for part in canvas.parts))


def heads_of(attention: Any, which: Literal["q", "k"], states: Tensor, turn: Sequence[Tensor]) -> Tensor:
    """Queries or keys (heads, T, head width) of normed states (T, D), at their positions.

    `turn`: cosines and sines (1, T, head width) as transformers gives them, each plane's twice.
    """
    cos, sin = (each[0].float().chunk(2, dim=-1)[0].unsqueeze(1) for each in turn)  # (T, 1, width / 2)
    return rotate(projected(attention, which, states), cos, sin).transpose(0, 1)


def attention_of_last(query: Tensor, key: Tensor, scaling: float) -> Tensor:
    """(L,) float32: causal attention of the last T of L tokens to each of them, mean over heads and over these T.

    `query` (heads, T, width), `key` (key heads, L, width), both at their positions. In chunks of queries.
    """
    heads, asking, length = query.shape[0], query.shape[1], key.shape[1]
    key = key.repeat_interleave(heads // key.shape[0], dim=0).float().transpose(1, 2)
    last = torch.arange(length - asking, length, device=key.device)  # what each query may see up to
    rows = max(1, CHUNK_BYTES // (4 * heads * length))
    total = torch.zeros(length, device=key.device)
    for some, until in zip(torch.split(query.float(), rows, dim=1), torch.split(last, rows), strict=True):
        hidden = torch.arange(length, device=key.device) > until[:, None]
        total += (some @ key * scaling).masked_fill(hidden, float("-inf")).softmax(-1).sum((0, 1))
    return total / (heads * asking)
