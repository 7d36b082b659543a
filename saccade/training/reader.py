"""The language model on packed examples: one canvas, many questions, and attention that can be supervised.

A sequence is [vision_start][K tokens][vision_end] and then every question with its answer; a question sees the canvas
and itself, and starts where the canvas ends, so that packed logits equal those of one prompt per question.
L sequence length, B pictures, K tokens in view, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saccade.geometry.rotary import rotate
from saccade.training.dense import CLASSES
from saccade.training.model import (
    CANNOT_READ,
    END,
    TURN,
    VISION_END,
    VISION_START,
    encode_cells,
)
from saccade.training.views import UNKNOWN, View

IGNORE = -100
VALUE_TO_KEY, ASK_TO_KEY, ANSWER_TO_CHAR = range(3)  # what a supervised head attends to
BLOCK_TOK = 128  # queries that attend at once
LATE_TOK = 4  # tokens at the end of a question that know what is asked


def supervised_layers(num_layers: int) -> tuple[int, int, int]:
    """The layers with a supervised head: a value finds its key, a question its key, an answer its next character."""
    last = num_layers - 1
    return max(0, last - 3), max(0, last - 2), max(0, last - 1)


@dataclass(frozen=True, slots=True)
class Packed:
    """One view as a sequence; numpy, made by worker processes."""

    ids: np.ndarray[Any, Any]  # (L,) token ids; the K canvas tokens are placeholders at 1 .. K
    position: np.ndarray[Any, Any]  # (3, L) M-RoPE: time, row, column
    segment: np.ndarray[Any, Any]  # (L,) 0 = canvas, q = question q, -1 = padding
    target: np.ndarray[Any, Any]  # (L,) what comes next in an answer, IGNORE elsewhere
    guide: tuple[tuple[int, int, np.ndarray[Any, Any]], ...]  # (head kind, query position, allowed key positions)


def pack(view: View) -> Packed:
    """Lays a view out as one sequence, with its targets and where it should attend."""
    count = len(view.shown)
    ids, segment, target = [VISION_START, *[0] * count, VISION_END], [0] * (count + 2), [IGNORE] * (count + 2)
    canvas = np.stack([np.ones(count, np.int64), 1 + view.cells[:, 0], 1 + view.cells[:, 1]])
    after = 1 + view.side
    position = [np.zeros((3, 1), np.int64), canvas, np.full((3, 1), after)]
    guide = [(VALUE_TO_KEY, slot + 1, keys + 1) for slot, keys in view.value_key]
    for number, asked in enumerate(view.asked, start=1):
        reply = [CANNOT_READ] if asked.answer is None else list(asked.answer)
        text = [*asked.question, TURN, *reply]
        start, turn = len(ids), len(ids) + len(asked.question)
        ids += text
        segment += [number] * len(text)
        target += [IGNORE] * len(asked.question) + [*reply, END]
        position.append(np.broadcast_to(np.arange(after + 1, after + 1 + len(text)), (3, len(text))))
        if asked.answer is None:
            continue
        if len(asked.key_slots):
            first = max(start, turn - LATE_TOK)
            guide += [(ASK_TO_KEY, at, asked.key_slots + 1) for at in range(first, turn + len(reply))]
        guide += [(ANSWER_TO_CHAR, turn + j, slot[None] + 1) for j, slot in enumerate(asked.char_slots) if slot >= 0]
    return Packed(np.array(ids), np.concatenate(position, 1), np.array(segment), np.array(target), tuple(guide))


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed views, padded; the P cells of all their pictures in one row."""

    patches: Tensor  # (P, 256) uint8
    picture: Tensor  # (P,)
    place: Tensor  # (P, 2) row and column in its picture
    labels: Tensor  # (P, 5) uint8, UNKNOWN where nobody knows
    source: Tensor  # (n,) index into the P encoded cells
    at: Tensor  # (n, 2) sequence and position where it goes
    ids: Tensor  # (B, L)
    position: Tensor  # (3, B, L)
    segment: Tensor  # (B, L)
    target: Tensor  # (B, L)
    query: Tensor  # (G, 3) head kind, sequence, position
    allowed: Tensor  # (G, L) bool

    def to(self, device: torch.device) -> "Batch":
        return Batch(**{name: getattr(self, name).to(device) for name in self.__slots__})


def collate(views: Sequence[View]) -> Batch:
    """Pads and stacks."""
    packed = [pack(v) for v in views]
    length = max(len(p.ids) for p in packed)
    source, at, query, allowed, first = [], [], [], [], 0
    for b, (view, p) in enumerate(zip(views, packed, strict=True)):
        source.append(first + view.shown)
        at.append(np.stack([np.full(len(view.shown), b), 1 + np.arange(len(view.shown))], 1))
        first += len(view.patches)
        for kind, where, keys in p.guide:
            query.append((kind, b, where))
            mask = np.zeros(length, bool)
            mask[keys] = True
            allowed.append(mask)

    def pad(arrays: list[np.ndarray[Any, Any]], value: int) -> Tensor:
        wide = [np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, length - a.shape[-1])], constant_values=value) for a in arrays]
        return torch.from_numpy(np.stack(wide))

    def joined(arrays: list[np.ndarray[Any, Any]]) -> Tensor:
        return torch.from_numpy(np.concatenate(arrays))

    return Batch(
        joined([v.patches for v in views]), joined([2 * i + v.picture for i, v in enumerate(views)]),
        joined([v.place for v in views]), joined([v.labels for v in views]), joined(source), joined(at),
        pad([p.ids for p in packed], 0), pad([p.position for p in packed], 0).transpose(0, 1),
        pad([p.segment for p in packed], -1), pad([p.target for p in packed], IGNORE),
        torch.tensor(query, dtype=torch.int64).view(-1, 3),
        torch.from_numpy(np.stack(allowed) if allowed else np.zeros((0, length), bool)),
    )  # fmt: skip


def may_attend(segment: Tensor) -> Tensor:
    """(B, 1, L, L) bool: causal, the canvas for everyone, otherwise only one's own question."""
    length = segment.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    own = (segment[:, None, :] == 0) | (segment[:, None, :] == segment[:, :, None])
    return (own & causal)[:, None]


class Block(NamedTuple):
    """Some successive queries, and the keys they need: those of the canvas, and those from `first` to `stop`."""

    start: int
    stop: int  # one past the last query, and key
    canvas: int  # keys 0 to this
    first: int
    bias: Tensor  # (B, 1, stop - start, canvas + stop - first) added to the scores

    def of(self, x: Tensor) -> Tensor:
        """(B, heads, L, head) -> those of its keys."""
        near = x[:, :, self.first : self.stop]
        return torch.cat([x[:, :, : self.canvas], near], 2) if self.canvas else near


def blocks(segment: Tensor, mask: Tensor) -> list[Block]:
    """The queries in order, each with all keys that it may attend to and few others: most of `mask` is False.

    segment: (B, L), 0: the canvas, which comes first, then the questions, each in one piece. mask: (B, 1, L, L).
    """
    length = segment.shape[1]
    canvas = int((segment == 0).sum(1).max())
    begins = segment < 0  # padding needs nothing before it
    begins[:, 1:] |= segment[:, 1:] != segment[:, :-1]
    begin = torch.where(begins, torch.arange(length, device=segment.device), 0).cummax(1).values.amin(0).tolist()
    bias = torch.zeros_like(mask, dtype=torch.bfloat16).masked_fill(~mask, -1e4)
    made = []
    for start in range(0, length, BLOCK_TOK):
        stop = min(start + BLOCK_TOK, length)
        first = max(canvas, begin[start]) if start >= canvas else 0
        keys = [bias[:, :, start:stop, :canvas]] if first else []
        near = torch.cat([*keys, bias[:, :, start:stop, first:stop]], -1)
        made.append(Block(start, stop, canvas if first else 0, first, near))
    return made


def _norm(layer: Any, x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), layer.weight.to(x.dtype), layer.variance_epsilon)


def read(language: Any, x: Tensor, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """transformers' own text model on (B, L, D) with packed masks; also the loss of each supervised kind per query."""
    cos, sin = (t.chunk(2, dim=-1)[0].unsqueeze(1) for t in language.rotary_emb(x, batch.position))
    mask = may_attend(batch.segment)
    parts = [] if x.is_cuda else blocks(batch.segment, mask)
    kinds = supervised_layers(len(language.layers))
    losses: list[Tensor] = [x.new_zeros(0)] * 3
    for number, layer in enumerate(language.layers):
        attn, shape = layer.self_attn, (x.shape[0], x.shape[1], -1, layer.self_attn.head_dim)
        h = _norm(layer.input_layernorm, x)
        q, k, v = (p(h).view(shape).transpose(1, 2) for p in (attn.q_proj, attn.k_proj, attn.v_proj))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        for kind in range(3):
            if kinds[kind] == number:
                head = kind % q.shape[1]
                losses[kind] = _guided(q[:, head], k[:, head * k.shape[1] // q.shape[1]], mask, batch, kind)
        y = _attend(q * attn.scaling, k, v, mask, parts)
        x = x + attn.o_proj(y.transpose(1, 2).flatten(2))
        x = x + layer.mlp(_norm(layer.post_attention_layernorm, x))
    return _norm(language.norm, x), losses


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, parts: Sequence[Block]) -> Tensor:
    """Attention of scaled queries, (B, heads, L, head): fused on CUDA, by blocks on a CPU, where that is faster."""
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    out = []
    for part in parts:
        scores = q[:, :, part.start : part.stop] @ part.of(k).transpose(-1, -2) + part.bias
        out.append(torch.softmax(scores, -1) @ part.of(v))
    return torch.cat(out, 2)


def _guided(q: Tensor, k: Tensor, mask: Tensor, batch: Batch, kind: int) -> Tensor:
    """-log of the attention that lands on allowed keys, for every query of this kind: (G_kind,). q, k (B, L, head)."""
    chosen = batch.query[:, 0] == kind
    rows, allowed = batch.query[chosen], batch.allowed[chosen]
    picked = q[rows[:, 1], rows[:, 2]].float()
    out = []
    for b in range(q.shape[0]):
        own = rows[:, 1] == b
        scores = picked[own] @ k[b].float().T * q.shape[-1] ** -0.5
        scores = scores.masked_fill(~mask[b, 0, rows[own, 2]], float("-inf"))
        hit = scores.masked_fill(~allowed[own], float("-inf"))
        out.append(scores.logsumexp(-1) - hit.logsumexp(-1))
    return torch.cat(out)


@dataclass(frozen=True, slots=True)
class Losses:
    """Means over a batch; `guide` in the order of the supervised kinds."""

    answer: Tensor
    guide: Tensor  # (3,)
    dense: Tensor
    char_acc: Tensor  # of answer tokens, the closing one included
    num_tok: int


def losses(model: Any, head: nn.Module, batch: Batch, joint: bool) -> Losses:
    """Forward pass of everything; the vision tower gets gradients (and its dense loss) only when `joint`."""
    inner = model.model
    with torch.set_grad_enabled(joint):
        tokens = encode_cells(inner.visual, batch.patches.float() / 127.5 - 1, batch.picture, batch.place)
    dense = tokens.new_zeros(())
    known = (batch.labels != UNKNOWN).all(-1)
    if joint and bool(known.any()):
        logits = head(tokens[known]).float().view(-1, CLASSES)
        dense = F.cross_entropy(logits, batch.labels[known].flatten().long())
    x = inner.language_model.embed_tokens(batch.ids)
    x = x.index_put((batch.at[:, 0], batch.at[:, 1]), tokens[batch.source].to(x.dtype))
    hidden, guided = read(inner.language_model, x, batch)
    supervised = batch.target != IGNORE
    logits = model.lm_head(hidden[supervised]).float()
    target = batch.target[supervised]
    guide = torch.stack([g.mean() if len(g) else g.new_zeros(()) for g in guided])
    hit = (logits.argmax(-1) == target).float().mean()
    return Losses(F.cross_entropy(logits, target), guide, dense, hit, batch.ids.numel())
