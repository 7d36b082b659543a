"""The nouns. Frozen, and nothing else flows between the parts of saccade.

Shape legend: B images, N visual tokens of one encoding, K kept tokens, D language-model width, F feature width before
the merger, M patches merged into one token, L DeepStack levels, T tokens of a text, H x W cells of the canvas.
uv = (x right, y down) in [0, 1] of the whole image.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.codes import Coded
from saccade.picture import Picture

CELL_ROUNDING = 1e-4
"""In cells: how far float32 may round a centre below a whole number, on canvases of up to 800 cells per side."""


Need = Literal["pixels", "tower", "received", "question", "attention", "boxes"]
"""What a strategy reads of a scene, and so what must be done before it: decode the picture, encode it, record the
encoder's attention, embed the question, record the language model's attention; know where the answer stands."""

Box = tuple[float, float, float, float]  # x0, y0, x1, y1


def cells_at(uv: Tensor, rows: int, cols: int) -> tuple[Tensor, Tensor]:
    """Row and column (...) int64 of the cells under points (..., 2); of a point on a border, the right or lower one."""
    size = torch.tensor([cols, rows], device=uv.device)
    col, row = (uv.double() * size + CELL_ROUNDING).floor().long().clamp(min=0).minimum(size - 1).unbind(-1)
    return row, col


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one image. `answers` is None when the data set hides them.

    Boxes listed in pixels wait in `answer_boxes_px` until `Dataset.sample` opens the image and moves them to uv. A
    question with an `error` ("Type: message": a field of the data set is wrong) is not asked: it becomes an error row.
    """

    id: str
    text: str
    answers: tuple[str, ...] | None = None
    answer_boxes_uv: tuple[tuple[float, float, float, float], ...] = ()  # x0, y0, x1, y1
    metadata: Mapping[str, Any] = field(default_factory=dict)
    answer_boxes_px: tuple[tuple[float, float, float, float], ...] = ()  # of the image as displayed
    error: str | None = None
    choices: tuple[str, ...] = ()  # the answer is one of these; (): any text
    pattern: str | None = None  # a regular expression that the whole answer matches; None: any text
    metric: str = "anls"  # by which its answer is scored (`saccade.metrics.scoring`)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with all its questions: the unit of work. It is encoded once however many questions it has."""

    image_id: str
    picture: Picture
    questions: tuple[Question, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grid:
    """Where each token of an encoding lies, on the image (uv) and on the canvas (integer cells)."""

    centre_uv: Tensor  # (N, 2) float32
    extent_uv: Tensor  # (N, 2) float32, width and height of what the token covers
    level: Tensor  # (N,) int64, 0 = full resolution
    row: Tensor  # (N,) int64 in [0, H)
    col: Tensor  # (N,) int64 in [0, W)
    rows: int  # H
    cols: int  # W
    width_px: int  # of the image as it was encoded
    height_px: int
    source: Tensor | None = None  # (H*W,) int64 after merging: the token each cell went into, -1 = dropped

    def __len__(self) -> int:
        return self.row.shape[0]

    def some(self, index: Tensor) -> Self:
        """The tokens `index` (K,) int64, on the same canvas. For a grid without merged tokens."""
        names = ("centre_uv", "extent_uv", "level", "row", "col")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    @property
    def aspect_uv(self) -> tuple[float, float]:
        """Multiply uv by this to measure in units of the longer side, so that a disc on the page is round."""
        longer = max(self.width_px, self.height_px)
        return self.width_px / longer, self.height_px / longer


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tokens a look keeps. Pruning and merging are one type: `source` says where each token went.

    Tokens that share a slot enter the canvas as one, their mean. `index` names one of them for each slot.
    """

    index: Tensor  # (K,) int64, strictly increasing; source[index[k]] == k
    source: Tensor  # (N,) int64, the kept slot each token went into, -1 = dropped
    weight: Tensor | None = None  # (N,) float, > 0 where kept: shares of a slot's mean; None: equal ones

    @classmethod
    def keep(cls, index: Tensor, num_tok: int) -> Self:
        """Pure pruning: `index` (K,) in any order, without duplicates."""
        index = index.sort().values
        source = torch.full((num_tok,), -1, dtype=torch.int64, device=index.device)
        source[index] = torch.arange(len(index), device=index.device)
        return cls(index, source)

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def counts(self) -> Tensor:
        """(K,) float32: how many tokens went into each slot."""
        return torch.bincount(self.source[self.source >= 0], minlength=len(self)).to(torch.float32)

    @property
    def merges(self) -> bool:
        """Whether any slot holds more than one token."""
        return int((self.source >= 0).sum()) > len(self)

    @property
    def sharp(self) -> Tensor:
        """(K,) int64: the tokens that are alone in their slot, shown as they are; what is averaged cannot be read."""
        return self.index[self.counts == 1] if self.merges else self.index

    def mean(self, values: Tensor) -> Tensor:
        """(K, ...) in the type of `values` (N, ...): each slot's weighted mean; a token alone stays as it is."""
        kept = self.source >= 0
        source = self.source[kept]
        exact = torch.promote_types(values.dtype, torch.float32)
        weight = torch.ones_like(source, dtype=exact) if self.weight is None else self.weight[kept].to(exact)
        share = weight / weight.new_zeros(len(self)).index_add_(0, source, weight)[source]  # exactly 1 when alone
        parts = values[kept].to(exact) * share.view(-1, *[1] * (values.ndim - 1))
        return parts.new_zeros(len(self), *values.shape[1:]).index_add_(0, source, parts).to(values.dtype)

    def cells(self, grid: Grid) -> tuple[Tensor, Tensor]:
        """Row and column (K,) int64 of each slot: its token's own, a merged one's at the floor of its centre."""
        row, col = grid.row[self.index], grid.col[self.index]
        if not self.merges:
            return row, col
        alone, merged = self.counts == 1, cells_at(self.mean(grid.centre_uv.double()), grid.rows, grid.cols)
        return torch.where(alone, row, merged[0]), torch.where(alone, col, merged[1])


@dataclass(frozen=True, slots=True)
class Encoding:
    """One image as a family's vision tower sees it. Nothing in it depends on a question."""

    tokens: Tensor  # (N, D), in the language model's space
    features: Tensor  # (N, M, F), before the merger
    # (N,) float32, attention received in the last full-attention layer, patches summed per token; NaN: not recorded
    received: Tensor
    grid: Grid
    picture_hash: str
    fingerprint: str  # of the encoder: model, precision, view, pixel limit
    num_patches: int  # encoder patches this cost: those that entered the tower, also where tokens merge inside it
    deepstack: Tensor | None = None  # (N, L, D), added to the tokens' states after decoder layers 1 to L (Qwen3-VL)
    coded: Coded | None = None  # the codes that `tokens` were rebuilt from (the reduction `autoencoder`)

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name; each has one row per token (N, ...)."""
        return {name: tensor for name in ENCODED if (tensor := getattr(self, name)) is not None}

    def cpu(self) -> Self:
        """The same encoding on the CPU."""
        moved: dict[str, Any] = {name: tensor.cpu() for name, tensor in self.tensors.items()}
        return replace(self, **moved, coded=self.coded and self.coded.cpu())


ENCODED = tuple(field.name for field in fields(Encoding) if "Tensor" in str(field.type))
"""Fields of an `Encoding` that are tensors: code that stores, sends or stacks encodings goes through these."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Attention of the language model to visual tokens as it reads a prompt, and what reading it cost."""

    attention: Tensor  # (N,) float32
    prefill_tok: int
    cached_tok: int
    seconds: float

    def plus(self, other: "Heard") -> "Heard":
        """The costs of both, with this one's attention."""
        prefill_tok, cached_tok = self.prefill_tok + other.prefill_tok, self.cached_tok + other.cached_tok
        return Heard(self.attention, prefill_tok, cached_tok, self.seconds + other.seconds)


@dataclass(frozen=True, slots=True)
class Query:
    """A question as the language model embeds it."""

    text: str
    tokens: Tensor  # (T, D)
    weight: Tensor  # (T,) float32 in [0, 1]; planners lower it for what was already found
    heard: Heard | None = None  # what it attends to on a glimpse of the image, where a scorer asks for it
    boxes_uv: tuple[Box, ...] = ()  # of its answer; given to oracles only
    labels_uv: tuple[Box, ...] = ()  # of what is printed beside the answer and names it
    parts: tuple[tuple[int, int], ...] = ()  # first and last token + 1 of each thing asked for


@dataclass(frozen=True, slots=True)
class Gaze:
    """One look: where, how wide, why. `importance` (N,) is what this look favours (None: what the scorer says)."""

    uv: tuple[float, float]
    reason: str
    score: float
    extent_uv: float = 0.25
    importance: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens that enter the canvas together. Equal keys mean equal tokens: caches rely on it."""

    tokens: Tensor  # (K, D)
    row: Tensor  # (K,) int64, canvas cell
    col: Tensor  # (K,) int64
    key: str
    deepstack: Tensor | None = None  # (K, L, D) as in `Encoding`
    coded: Coded | None = None  # as in `Encoding`; means of several tokens have none

    @classmethod
    def of(cls, encoding: Encoding, selection: Selection | None = None) -> Self:
        """The selected tokens of an encoding (all of them without a selection), merged where the selection merges."""
        grid, levels, chosen = encoding.grid, encoding.deepstack, b"all"
        identity = f"{encoding.picture_hash}|{encoding.fingerprint}|{grid.rows}x{grid.cols}|".encode()
        if selection is None:
            key = hashlib.sha256(identity + chosen).hexdigest()
            return cls(encoding.tokens, grid.row, grid.col, key, levels, encoding.coded)
        chosen = _bytes(selection.index)
        row, col = selection.cells(grid)
        coded = None if selection.merges else encoding.coded and encoding.coded.some(selection.index)
        if not selection.merges:
            tokens = encoding.tokens[selection.index]
            levels = None if levels is None else levels[selection.index]
        else:
            chosen += b"|merged|" + _bytes(selection.source)
            chosen += b"" if selection.weight is None else b"|" + _bytes(selection.weight.double())
            tokens = selection.mean(encoding.tokens)
            levels = None if levels is None else selection.mean(levels)
        return cls(tokens, row, col, hashlib.sha256(identity + chosen).hexdigest(), levels, coded)

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def wide(self) -> Tensor:
        """(K, D * (1 + L)): each token with its DeepStack levels after it, as engines take them."""
        return self.tokens if self.deepstack is None else torch.cat([self.tokens, self.deepstack.flatten(1)], dim=-1)


@dataclass(frozen=True, slots=True)
class Canvas:
    """The growing canvas: the parts a reader has in front of it, each token at its cell of the full image's grid."""

    rows: int  # H
    cols: int  # W
    parts: tuple[Part, ...] = ()

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def add(self, part: Part) -> Self:
        """The canvas with one more part at its end; what was there keeps its place, so caches stay valid."""
        return replace(self, parts=(*self.parts, part))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reader said about one canvas."""

    text: str  # empty when the reader says that it cannot read it
    logprobs: tuple[float, ...]  # of the answer's tokens, the closing one included
    confidence: float  # in [0, 1]; 0 when it cannot read
    visual_tok: int  # tokens on the canvas
    cached_tok: int  # prompt tokens served from a cache
    prefill_tok: int  # prompt tokens computed for this answer
    seconds: float
    readable: bool = True
    token_ids: tuple[int, ...] = ()  # of the answer, without the closing one; not stored
    tokens: Tensor | None = None  # (T, D) their embeddings, for planners; not stored
    # canvas cells, row * cols + col, attended to most while it was written, with their shares; (): the engine has none
    attended: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What one fixation did."""

    gaze: Gaze
    selection: Selection
    answer: Answer


@dataclass(frozen=True, slots=True)
class Cost:
    """Everything that was paid for one question. What questions of one image share is charged to the first of them."""

    visual_tok: int
    prefill_tok: int
    cached_tok: int
    encoder_patches: int
    encoder_passes: float  # encoder_patches over those of one full pass
    seconds: Mapping[str, float]  # per stage


@dataclass(frozen=True, slots=True)
class Trace:
    """One answered question: every fixation, the final answer and what it cost."""

    question_id: str
    question: str
    steps: tuple[Step, ...]
    answer: Answer
    cost: Cost
    shown: Tensor  # (N,) bool, tokens that were on the canvas at the last read, not merged, whoever added them
    parts: tuple["Trace", ...] = ()  # one per thing asked for, if asked one by one; each has this question_id


@dataclass(frozen=True, slots=True)
class Scene:
    """What a strategy may see, as a batch. Images differ in N: `valid` marks real tokens that may still be chosen."""

    pictures: tuple[Picture, ...]
    grids: tuple[Grid, ...]
    queries: tuple[Query, ...]
    valid: Tensor  # (B, N) bool
    present: Tensor  # (B, N) bool: valid, or real but already shown
    tokens: Tensor  # (B, N, D)
    features: Tensor  # (B, N, M, F)
    received: Tensor  # (B, N) float32
    centre_uv: Tensor  # (B, N, 2)
    row: Tensor  # (B, N) int64
    col: Tensor  # (B, N) int64
    level: Tensor  # (B, N) int64, 0 = full resolution (and padding)
    query_tokens: Tensor  # (B, T, D)
    query_weight: Tensor  # (B, T) float32, 0 at padding
    attention: Tensor | None = None  # (B, N) float32, of the language model on the image
    shares: Tensor | None = None  # (B, levels) float32, the budget's wish for each level, finest first

    @classmethod
    def of(cls, items: Sequence[tuple[Picture, Encoding, Query]]) -> Self:
        """Pads a batch of (picture, encoding, query) to the longest of each, on the device of the tokens."""
        pictures, encodings, queries = zip(*items, strict=True)

        def pad(tensors: Sequence[Tensor]) -> Tensor:
            return tensors[0].unsqueeze(0) if len(tensors) == 1 else pad_sequence(list(tensors), batch_first=True)

        present = pad([torch.ones(len(e), dtype=torch.bool, device=e.tokens.device) for e in encodings])
        return cls(
            pictures=pictures,
            grids=tuple(e.grid for e in encodings),
            queries=queries,
            valid=present,
            present=present,
            tokens=pad([e.tokens for e in encodings]),
            features=pad([e.features for e in encodings]),
            received=pad([e.received for e in encodings]),
            centre_uv=pad([e.grid.centre_uv for e in encodings]).to(present.device),
            row=pad([e.grid.row for e in encodings]).to(present.device),
            col=pad([e.grid.col for e in encodings]).to(present.device),
            level=pad([e.grid.level for e in encodings]).to(present.device),
            query_tokens=pad([q.tokens for q in queries]),
            query_weight=pad([q.weight for q in queries]),
            attention=pad([q.heard.attention for q in queries]) if all(q.heard for q in queries) else None,
        )

    def some(self, part: slice) -> Self:
        """A slice of the batch; its padding stays."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value[part] for name, value in values.items() if value is not None})

    def without(self, shown: Tensor) -> Self:
        """The scene with tokens `shown` (B, N) bool taken out of what may be chosen."""
        return replace(self, valid=self.valid & ~shown)

    def weighted(self, query_weight: Tensor) -> Self:
        """The scene with other query-token weights (B, T)."""
        return replace(self, query_weight=query_weight)
