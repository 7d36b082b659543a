"""The reader's training examples: one page, one view of it, its questions, and where it should attend.

Views: every inked cell, mostly of the page shrunk until its print is just large enough; the cells of one to three
looks; the page resized to fewer cells, as often as looks; a resized page, read first, and looks after it; and a page
that is encoded whole, of which all, the inked, the looked-at or random cells are shown. In all but the last only what
is shown is encoded. To begin with: the keys and values asked for, among distractors. What is not in view, too small to
read, or not on the page at all, is answered "cannot read".

N cells of a page, P cells that are encoded, K that are shown; a cell is 16 x 16 px and becomes one token.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from saccade.datasets.synthdoc import PLAIN, Page, Real, render
from saccade.families import largest_grid
from saccade.geometry.grid import plain_grid
from saccade.geometry.ink import TOLERANCE, ink
from saccade.geometry.print_size import legible_tok
from saccade.training.dense import REAL_SHARE, SLOTS, char_labels, token_of
from saccade.training.model import PATCH_PX

SHARES = {"ink": 0.22, "look": 0.22, "resize": 0.22, "glimpse": 0.2, "all": 0.14}
SIZES_PX = {512: 0.36, 768: 0.16, 1024: 0.3, 1280: 0.1, 1664: 0.08}  # longest side of a page, and its share
MOST_PX = 1 << 20  # area of a page: a larger one is shrunk by the processor
READABLE_PX, UNREADABLE_PX = 4.2, 3.4  # x-height after resizing; in between a question is not asked
CANVAS_TOK = 108  # side of the largest canvas: a till roll that fills its area
PRINT_PX = (6.5, 11.0)  # that pages are shrunk to; the size at which the reader reads best is among them
LEGIBLE_SHARE = 0.7  # of the pages of which all ink is shown: they are shrunk to such a size, as they are when used
PAPER_SHARE = 0.5  # of the pages of which more or less paper is taken for ink than when used, so that reading never
TOLERANCES = (np.log(4), np.log(28))  # depends on how much of it is in view; log-uniform
BESIDE_SHARE = 0.25  # of all pages: with the cells left and right of ink
FOREIGN_EVERY = 8  # one question that the page does not answer, in a view of so many that it may
LOOK_TOK = (np.log(24), np.log(300))  # of one look, log-uniform: a small page must not be seen whole by every look
UNKNOWN = 255  # a label that nobody knows
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
_NO_SLOTS: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a view. Slots count the tokens of the canvas in the order in which the reader gets them."""

    question: bytes
    answer: bytes | None  # None: cannot be read
    key_slots: Ints  # (k,) where the key is printed
    char_slots: Ints  # (len(answer),) the token of each character, -1: not to be supervised


@dataclass(frozen=True, slots=True)
class View:
    """One training example: P cells to encode, of which the reader gets `shown` at canvas cells `cells`, in order."""

    kind: str
    patches: Bytes  # (P, 256)
    picture: Ints  # (P,) 0: the page, 1: its glimpse; they are encoded apart
    place: Ints  # (P, 2) row and column in its picture
    labels: Bytes  # (P, 5) characters of each cell, UNKNOWN where they cannot be read
    shown: Ints  # (K,) index into the P cells
    cells: Ints  # (K, 2) row, column
    side: int  # longer side of the canvas in cells
    asked: tuple[Asked, ...]
    value_key: tuple[tuple[int, Ints], ...]  # slot of a value's token, earlier slots of its key


@dataclass(frozen=True)
class _Sheet:
    """A page at some size, or a crop of one: characters by cell, and where it lies on its canvas."""

    page: Page
    image: Bytes
    token_of: Ints  # (n,) cell of each character, -1 outside
    rows: int
    cols: int
    origin: tuple[int, int]  # canvas cell of its first cell
    side: int
    x_height_scale: float
    tolerance: float = TOLERANCE  # grey levels; a cell that spans more is inked
    beside: bool = False  # whether the cells left and right of inked ones are shown with them

    @cached_property
    def inked(self) -> NDArray[np.bool_]:
        """(N,) bool: the cells that hold ink."""
        inked_cells = ink(torch.tensor(self.image)[None], PATCH_PX, self.tolerance)
        if self.beside:
            inked_cells = F.max_pool2d(inked_cells.float(), (1, 3), 1, (0, 1)) > 0
        inked: NDArray[np.bool_] = inked_cells[0].flatten().numpy()
        return inked

    def contrast(self) -> NDArray[np.float64]:
        """(N,) standard deviation of each cell's pixels; 1: the sharpest of the sheet."""
        spread: NDArray[np.float64] = _patches(self.image).std(axis=1, dtype=np.float64)
        return np.divide(spread, max(float(spread.max()), 1.0))

    def labels(self) -> Bytes:
        """(N, 5) uint8 character classes of each cell."""
        heights = [f.x_height_px * self.x_height_scale for f in self.page.fields]
        if min(heights, default=0.0) < READABLE_PX:
            return np.full((self.rows * self.cols, SLOTS), UNKNOWN, np.uint8)
        return char_labels(self.page.chars, self.token_of, self.rows * self.cols)


def _patches(image: Bytes) -> Bytes:
    """(16 R, 16 C) -> (R C, 256)."""
    rows, cols = (s // PATCH_PX for s in image.shape)
    return image.reshape(rows, PATCH_PX, cols, PATCH_PX).swapaxes(1, 2).reshape(rows * cols, -1)


def _sheet(page: Page, draw: np.random.Generator, max_tok: int | None, crop_tok: int) -> _Sheet:
    """The whole page resized to at most max_tok cells, or a crop of at most crop_tok x crop_tok cells of it."""
    height, width = (s // PATCH_PX for s in page.image.shape)
    tolerance = float(np.exp(draw.uniform(*TOLERANCES))) if draw.random() < PAPER_SHARE else TOLERANCE
    paper = tolerance, bool(draw.random() < BESIDE_SHARE)
    if max_tok is not None:
        pixels = resized(page.image, max_tok)
        rows, cols = (s // PATCH_PX for s in pixels.shape)
        token = token_of(page.chars, rows, cols, (rows / height, cols / width))
        return _Sheet(page, pixels, token, rows, cols, (0, 0), max(rows, cols), rows / height, *paper)
    rows, cols = min(height, crop_tok), min(width, crop_tok)
    top, left = int(draw.integers(0, height - rows + 1)), int(draw.integers(0, width - cols + 1))
    image = page.image[top * PATCH_PX : (top + rows) * PATCH_PX, left * PATCH_PX : (left + cols) * PATCH_PX]
    token, side = token_of(page.chars, rows, cols, corner=(top, left)), max(height, width)
    if side < CANVAS_TOK and draw.random() < 0.3:  # a small page as a part of a larger one
        side = int(draw.integers(side, CANVAS_TOK + 1))
        top, left = int(draw.integers(0, side - rows + 1)), int(draw.integers(0, side - cols + 1))
    return _Sheet(page, image, token, rows, cols, (top, left), side, 1.0, *paper)


def resized(image: Bytes, max_tok: int) -> Bytes:
    """(16 H, 16 W) grey, shrunk with its aspect kept to at most max_tok cells."""
    height, width = (s // PATCH_PX for s in image.shape)
    rows, cols = largest_grid(height, width, min(max_tok, height * width))
    small = Image.fromarray(image).resize((cols * PATCH_PX, rows * PATCH_PX), Image.Resampling.BICUBIC)
    return np.asarray(small)


def legible_cells(image: Bytes, print_px: float) -> int | None:
    """Cells of a grey page (16 H, 16 W) at which its smallest print has this x-height; None: as many as it has."""
    grid = plain_grid(*(side // PATCH_PX for side in image.shape), *image.shape[::-1])
    return legible_tok(np.repeat(image[..., None], 3, -1), grid, print_px)


def _foveate(
    sheet: _Sheet, draw: np.random.Generator, gaze: tuple[float, float], keep: int, free: NDArray[np.bool_]
) -> Ints:
    """`keep` of the `free` (N,) cells: those nearest to the gaze (row, column), or denser near it and on print."""
    row, col = np.divmod(np.arange(sheet.rows * sheet.cols), sheet.cols)
    distance = np.hypot(row - gaze[0], col - gaze[1])
    score = -distance
    if draw.random() < 0.6:
        score = -np.log1p(distance / draw.uniform(2, 12)) + draw.uniform(0, 0.6) * draw.gumbel(size=len(row))
        score += draw.uniform(0, 3) * sheet.contrast()  # as looks do whose scorer leaves blank paper out
    order = np.argsort(np.where(free, -score, np.inf), kind="stable")
    return np.sort(order[: min(keep, int(free.sum()))])


def _gazes(sheet: _Sheet, draw: np.random.Generator, fields: list[int], count: int) -> list[tuple[float, float]]:
    """Mostly the answers of the questions or their keys, sometimes anywhere."""
    gazes = []
    for i in range(count):
        token = -1
        if fields and draw.random() < 0.85:
            spans = sheet.page.chars.answer_span if draw.random() < 0.75 else sheet.page.chars.key_span
            start, stop = spans[fields[i % len(fields)]]
            token = int(sheet.token_of[(start + stop) // 2])
        if token < 0:
            token = int(draw.integers(sheet.rows * sheet.cols))
        gazes.append((float(token // sheet.cols), token % sheet.cols - draw.uniform(0, 5)))
    return gazes


def _looks(sheet: _Sheet, draw: np.random.Generator, fields: list[int], num_looks: int) -> Ints:
    """The cells of some looks, look by look; mostly of inked cells alone."""
    free = sheet.inked.copy() if draw.random() < 0.7 else np.ones(sheet.rows * sheet.cols, np.bool_)
    parts: list[Ints] = [np.zeros(0, np.int64)]
    for gaze in _gazes(sheet, draw, fields, num_looks):
        parts.append(_foveate(sheet, draw, gaze, round(np.exp(draw.uniform(*LOOK_TOK))), free))
        free[parts[-1]] = False
    return np.concatenate(parts)


def _shown(kind: str, sheet: _Sheet, draw: np.random.Generator, fields: list[int]) -> Ints:
    """Which cells of the sheet the reader gets, in order."""
    everything = np.arange(sheet.rows * sheet.cols)
    if kind == "resize" or kind == "all":
        way = draw.random()
        if way < 0.5 or (kind == "resize" and way < 0.6):
            return everything
        if kind == "all" and way > 0.85:  # as samplers that ask nobody choose, blank cells among them
            most = min(len(everything), round(np.exp(draw.uniform(*LOOK_TOK))))
            return np.sort(draw.choice(everything, most, replace=False))
        return _looks(sheet, draw, fields, 2) if kind == "all" and way > 0.7 else everything[sheet.inked]
    if kind == "ink":
        return everything[sheet.inked]
    if kind == "asked":
        spans = [*sheet.page.chars.key_span[fields], *sheet.page.chars.answer_span[fields]]
        near = np.concatenate([sheet.token_of[a:b] for a, b in spans] or [np.zeros(0, np.int64)])
        extra = draw.integers(0, len(everything), int(draw.integers(10, 120)))
        return np.unique(np.concatenate([near[near >= 0], extra]))
    least = 0 if kind == "glimpse" else 1
    return _looks(sheet, draw, fields, int(draw.integers(least, 4)))


@dataclass(frozen=True, slots=True)
class _Layer:
    """The part of a view at one resolution."""

    slot_of: Ints  # (n,) slot of each character, -1: not in view
    x_height_scale: float


def _ask(page: Page, layers: list[_Layer], field: int) -> Asked | None:
    """The question with its target in this view, read from the first layer that shows it; None where neither an answer
    nor "cannot read" would be fair."""
    item, span = page.fields[field], slice(*page.chars.answer_span[field])
    printed = page.chars.code[span] != ord(" ")
    question, doubtful, keys = item.question.encode(), False, _NO_SLOTS
    for layer in layers:
        slots, key = layer.slot_of[span], layer.slot_of[slice(*page.chars.key_span[field])]
        value_seen, key_seen = float((slots[printed] >= 0).mean()), float((key >= 0).mean())
        size_px = item.x_height_px * layer.x_height_scale
        if value_seen >= 0.9 and key_seen >= 0.5 and size_px >= READABLE_PX:
            return Asked(question, item.answer.encode(), np.unique(key[key >= 0]), slots)
        doubtful |= value_seen >= 0.5 and size_px >= UNREADABLE_PX
        if size_px >= UNREADABLE_PX:
            keys = np.union1d(keys, key[key >= 0])
    return None if doubtful else Asked(question, None, keys, _NO_SLOTS)


def _value_key(page: Page, layer: _Layer) -> tuple[tuple[int, Ints], ...]:
    """For every value's token in view: the tokens of its key that the reader got before it."""
    pairs = []
    for key, answer in zip(page.chars.key_span, page.chars.answer_span, strict=True):
        if tuple(key) == tuple(answer):
            continue
        values, keys = (np.unique(s[s >= 0]) for s in (layer.slot_of[slice(*answer)], layer.slot_of[slice(*key)]))
        pairs += [(int(slot), keys[keys < slot]) for slot in values if (keys < slot).any()]
    return tuple(pairs)


def drawn_kind(draw: np.random.Generator) -> str:
    """A kind of view, by SHARES."""
    return str(draw.choice(list(SHARES), p=list(SHARES.values())))


def drawn_size(draw: np.random.Generator) -> int:
    """A longest side in px, by SIZES_PX."""
    return int(draw.choice(list(SIZES_PX), p=list(SIZES_PX.values())))


def _drawn_tok(kind: str, page: Page, draw: np.random.Generator) -> int | None:
    """Cells that a page is shrunk to: any number, or as many as its smallest print needs; None: as it is."""
    total = page.image.size // PATCH_PX**2
    if kind == "resize":
        return int(round(np.exp(draw.uniform(*np.log((min(240, total - 1), min(1600, total)))))))
    if kind != "ink" or draw.random() >= LEGIBLE_SHARE:
        return None
    return legible_cells(page.image, draw.uniform(*PRINT_PX))


def make_view(
    seed: int,
    index: int,
    *,
    kind: str | None = None,
    page_px: int | None = None,
    questions: int = 24,
    real: Real = PLAIN,
) -> View:
    """Example `index` of `seed`. kind: one of SHARES, 'asked', or None: drawn by SHARES, as page_px is by SIZES_PX."""
    draw = np.random.default_rng([seed, index, 2])
    kind = kind or drawn_kind(draw)
    printed = real if draw.random() < REAL_SHARE else None
    page = render(seed, index, page_px or drawn_size(draw), real=printed, most_px=MOST_PX)
    sheet = _sheet(page, draw, _drawn_tok(kind, page, draw), 32 if kind in ("all", "asked") else CANVAS_TOK)
    order = [int(f) for f in draw.permutation(len(page.fields))]
    inside = [f for f in order if (sheet.token_of[slice(*page.chars.answer_span[f])] >= 0).all()]
    chosen = (inside if kind == "asked" else inside + [f for f in order if f not in inside][:2])[:questions]
    tokens = _shown(kind, sheet, draw, inside[:questions])
    encoded = np.arange(sheet.rows * sheet.cols) if kind == "all" else tokens
    coarse = _glimpse(sheet, round(np.exp(draw.uniform(*np.log((128, 819)))))) if kind == "glimpse" else _NO_GLIMPSE
    layers = [
        _Layer(_slots(sheet.token_of, tokens, len(coarse.patches), sheet.rows * sheet.cols), sheet.x_height_scale),
        *([_Layer(coarse.slot_of, coarse.x_height_scale)] if kind == "glimpse" else []),
    ]
    asked = [a for f in chosen if (a := _ask(page, layers, f)) is not None]
    unread = [a for a in asked if a.answer is None]
    asked = [a for a in asked if a.answer is not None]
    asked += unread[: max(2, len(asked) // 3)]
    strange = page.foreign(1 + len(asked) // FOREIGN_EVERY, int(draw.integers(2**31))) if asked else []
    asked += [Asked(question.encode(), None, _NO_SLOTS, _NO_SLOTS) for question in strange]
    first = len(coarse.patches)
    return View(
        kind,
        np.concatenate([coarse.patches, _patches(sheet.image)[encoded]]),
        np.repeat([1, 0], [first, len(encoded)]),
        np.concatenate([coarse.place, np.stack(np.divmod(encoded, sheet.cols), 1)]),
        np.concatenate([coarse.labels, sheet.labels()[encoded]]),
        np.concatenate([np.arange(first), first + (tokens if kind == "all" else np.arange(len(tokens)))]),
        np.concatenate([coarse.cells, np.stack(np.divmod(tokens, sheet.cols), 1)]) + np.array(sheet.origin),
        sheet.side,
        tuple(asked),
        _value_key(page, layers[0]),
    )


def _slots(token_of: Ints, tokens: Ints, first: int, count: int) -> Ints:
    """(n,) slot of each character where `tokens`, of `count` cells, are shown in order from slot `first` on."""
    slot_of = np.full(count, -1, np.int64)
    slot_of[tokens] = np.arange(len(tokens)) + first
    return np.where(token_of >= 0, slot_of[token_of], -1)


@dataclass(frozen=True, slots=True)
class _Glimpse:
    """A page in few coarse cells."""

    patches: Bytes  # (G, 256)
    labels: Bytes  # (G, 5)
    cells: Ints  # (G, 2) of the sheet, in which their centres fall
    place: Ints  # (G, 2) their own rows and columns
    slot_of: Ints  # (n,) of each character
    x_height_scale: float


_NO_PLACE = np.zeros((0, 2), np.int64)
_NO_GLIMPSE = _Glimpse(
    np.zeros((0, PATCH_PX**2), np.uint8), np.zeros((0, SLOTS), np.uint8), _NO_PLACE, _NO_PLACE, _NO_PLACE[:, 0], 0.0
)


def _glimpse(sheet: _Sheet, max_tok: int) -> _Glimpse:
    """The sheet in at most max_tok coarse cells, those of them that hold ink."""
    image = resized(sheet.image, min(max_tok, sheet.rows * sheet.cols - 1))
    rows, cols = (s // PATCH_PX for s in image.shape)
    scale = rows / sheet.rows
    token = token_of(sheet.page.chars, rows, cols, (scale, cols / sheet.cols))
    small = _Sheet(sheet.page, image, token, rows, cols, (0, 0), 0, scale)
    shown = np.flatnonzero(small.inked)
    row, col = np.divmod(shown, cols)
    cells = np.stack([(row + 0.5) * sheet.rows // rows, (col + 0.5) * sheet.cols // cols], 1).astype(np.int64)
    slots = _slots(token, shown, 0, rows * cols)
    return _Glimpse(_patches(small.image)[shown], small.labels()[shown], cells, np.stack([row, col], 1), slots, scale)
