"""What the reader is shown in training: one page, one view of it, up to eight questions, and where it should look.

Views: every token; foveated subsets (1 to 3 fixations one after another); the page resized to fewer tokens, with the
share that foveated subsets have (DESIGN 7.1); a coarse glimpse and a fovea; uniform random subsets; and, to begin with,
the keys and values asked for among distractors. What is not in view, or too small to read, is answered "cannot read".
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saccade.datasets.synthdoc import Page, render
from saccade.families import largest_grid
from saccade.training.dense import SLOTS, char_labels
from saccade.training.model import PATCH_PX

SHARES = {"all": 0.24, "foveate": 0.26, "resize": 0.26, "glimpse": 0.12, "random": 0.12}
READABLE_PX, UNREADABLE_PX = 4.2, 3.4  # x-height after resizing; in between a question is not asked
CANVAS_TOK = 64  # side of the largest canvas, 1024 px
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a view. Slots count the tokens of the canvas in the order in which the reader gets them."""

    question: bytes
    answer: bytes | None  # None: cannot be read
    key_slots: Ints  # (k,) where the key is printed
    char_slots: Ints  # (len(answer),) the token of each character, -1: not to be supervised
    field: int


@dataclass(frozen=True, slots=True)
class View:
    """One training example. The reader gets token `picks[i, 1]` of picture `picks[i, 0]` at canvas cell `cells[i]`."""

    kind: str
    images: tuple[NDArray[np.uint8], ...]  # grey, (16 H, 16 W) each
    labels: NDArray[np.uint8]  # (H, W, 5) dense labels of the first one, or (0, 0, 5)
    picks: Ints  # (K, 2)
    cells: Ints  # (K, 2) row, column
    side: int  # longer side of the canvas in tokens
    asked: tuple[Asked, ...]
    value_key: tuple[tuple[int, Ints], ...]  # slot of a value's token, earlier slots of its key


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A page, or a crop of one: characters by token, and where it lies on its canvas."""

    page: Page
    image: NDArray[np.uint8]
    token_of: Ints  # (n,) token of each character, -1 outside
    rows: int
    cols: int
    origin: tuple[int, int]  # canvas cell of its first token
    side: int
    x_height_scale: float

    def contrast(self) -> NDArray[np.float64]:
        """(rows * cols,) standard deviation of each token's pixels; 1: the sharpest of the sheet."""
        patches = self.image.reshape(self.rows, PATCH_PX, self.cols, PATCH_PX)
        spread: NDArray[np.float64] = patches.std(axis=(1, 3), dtype=np.float64).ravel()
        return np.divide(spread, max(float(spread.max()), 1.0))


def _sheet(page: Page, draw: np.random.Generator, max_tok: int | None, crop_tok: int) -> _Sheet:
    """The whole page resized to at most max_tok tokens, or a crop of at most crop_tok x crop_tok tokens of it."""
    height, width = (s // PATCH_PX for s in page.image.shape)
    centre = page.chars.centre_px / PATCH_PX
    if max_tok is not None:
        rows, cols = largest_grid(height, width, max_tok)
        pixels = Image.fromarray(page.image).resize((cols * PATCH_PX, rows * PATCH_PX), Image.Resampling.BICUBIC)
        token = _token_of(centre * np.array([cols / width, rows / height]), rows, cols)
        return _Sheet(page, np.asarray(pixels), token, rows, cols, (0, 0), max(rows, cols), rows / height)
    rows, cols = min(height, crop_tok), min(width, crop_tok)
    top, left = int(draw.integers(0, height - rows + 1)), int(draw.integers(0, width - cols + 1))
    image = page.image[top * PATCH_PX : (top + rows) * PATCH_PX, left * PATCH_PX : (left + cols) * PATCH_PX]
    token, side = _token_of(centre - np.array([left, top]), rows, cols), max(height, width)
    if side < CANVAS_TOK and draw.random() < 0.3:  # a small page as a part of a larger one
        side = int(draw.integers(side, CANVAS_TOK + 1))
        top, left = int(draw.integers(0, side - rows + 1)), int(draw.integers(0, side - cols + 1))
    return _Sheet(page, image, token, rows, cols, (top, left), side, 1.0)


def _token_of(centre: NDArray[np.float32], rows: int, cols: int) -> Ints:
    cell = np.floor(centre).astype(np.int64)
    inside = (cell >= 0).all(1) & (cell[:, 0] < cols) & (cell[:, 1] < rows)
    return np.where(inside, cell[:, 1] * cols + cell[:, 0], -1)


def _foveate(sheet: _Sheet, draw: np.random.Generator, gaze: tuple[float, float], keep: int, shown: set[int]) -> Ints:
    """`keep` tokens that were not shown, denser near the gaze (row, column) and on print, in raster order."""
    row, col = np.divmod(np.arange(sheet.rows * sheet.cols), sheet.cols)
    distance = np.hypot(row - gaze[0], col - gaze[1])
    score = -np.log1p(distance / draw.uniform(2, 12)) + draw.uniform(0, 0.6) * draw.gumbel(size=len(row))
    score += draw.uniform(0, 3) * sheet.contrast()  # as looks do whose scorer leaves blank paper out
    score[list(shown)] = -np.inf
    best = np.argsort(-score)[: max(0, min(keep, len(row) - len(shown)))]
    return np.sort(best)


def _gazes(sheet: _Sheet, draw: np.random.Generator, fields: list[int], count: int) -> list[tuple[float, float]]:
    """Mostly the answers of the questions, sometimes anywhere."""
    gazes = []
    for i in range(count):
        token = -1
        if fields and draw.random() < 0.8:
            start, stop = sheet.page.chars.answer_span[fields[i % len(fields)]]
            token = int(sheet.token_of[(start + stop) // 2])
        if token < 0:
            token = int(draw.integers(sheet.rows * sheet.cols))
        gazes.append((float(token // sheet.cols), token % sheet.cols - draw.uniform(0, 5)))
    return gazes


def _tokens(kind: str, sheet: _Sheet, draw: np.random.Generator, fields: list[int]) -> Ints:
    """Which tokens of the sheet the reader gets, in order."""
    total = sheet.rows * sheet.cols
    if kind in ("all", "resize"):
        return np.arange(total)
    if kind == "random":
        return np.sort(draw.permutation(total)[: int(total * draw.uniform(0.3, 0.95))])
    if kind == "asked":
        spans = [*sheet.page.chars.key_span[fields], *sheet.page.chars.answer_span[fields]]
        near = np.concatenate([sheet.token_of[a:b] for a, b in spans] or [np.zeros(0, np.int64)])
        extra = draw.integers(0, total, int(draw.integers(10, 120)))
        return np.unique(np.concatenate([near[near >= 0], extra]))
    parts: list[Ints] = []
    shown: set[int] = set()
    looks = int(draw.integers(1, 4))
    for gaze in _gazes(sheet, draw, fields, looks):
        parts.append(_foveate(sheet, draw, gaze, int(draw.integers(64, 300)), shown))
        shown.update(parts[-1].tolist())
    return np.concatenate(parts)


def _ask(sheet: _Sheet, slot_of: Ints, field: int) -> Asked | None:
    """The question with its target in this view; None where neither answer nor "cannot read" would be fair."""
    item = sheet.page.fields[field]
    at = sheet.token_of[slice(*sheet.page.chars.answer_span[field])]
    key = sheet.token_of[slice(*sheet.page.chars.key_span[field])]
    slots = np.where(at >= 0, slot_of[at], -1)
    key_slots = np.where(key >= 0, slot_of[key], -1)
    seen, key_seen = float((slots >= 0).mean()), float((key_slots >= 0).mean())
    size_px = item.x_height_px * sheet.x_height_scale
    key_slots = np.unique(key_slots[key_slots >= 0])
    question = item.question.encode()
    if seen < 0.5 or size_px < UNREADABLE_PX:
        return Asked(question, None, key_slots, np.zeros(0, np.int64), field)
    if seen < 0.9 or key_seen < 0.5 or size_px < READABLE_PX:
        return None
    return Asked(question, item.answer.encode(), key_slots, slots, field)


def _value_key(sheet: _Sheet, slot_of: Ints) -> tuple[tuple[int, Ints], ...]:
    """For every value's token in view: the tokens of its key that the reader got before it."""
    pairs = []
    for key, answer in zip(sheet.page.chars.key_span, sheet.page.chars.answer_span, strict=True):
        if tuple(key) == tuple(answer):
            continue
        at, of = (np.unique(t[t >= 0]) for t in (sheet.token_of[slice(*answer)], sheet.token_of[slice(*key)]))
        keys = slot_of[of]
        for slot in slot_of[at]:
            before = keys[(keys >= 0) & (keys < slot)]
            if slot >= 0 and len(before):
                pairs.append((int(slot), before))
    return tuple(pairs)


def drawn_kind(draw: np.random.Generator) -> str:
    """A kind of view, by SHARES."""
    return str(draw.choice(list(SHARES), p=list(SHARES.values())))


def make_view(
    seed: int,
    index: int,
    *,
    kind: str | None = None,
    page_px: int | None = None,
    crop_tok: int = 32,
    questions: int = 8,
) -> View:
    """Example `index` of `seed`. kind: one of SHARES, 'asked', or None: drawn by SHARES, as page_px is."""
    draw = np.random.default_rng([seed, index, 2])
    kind = kind or drawn_kind(draw)
    page_px = page_px or (1024 if draw.random() < 0.25 and kind != "all" else 512)
    page = render(seed, index, page_px)
    total = page.image.size // PATCH_PX**2
    max_tok = round(np.exp(draw.uniform(np.log(min(240, total - 1)), np.log(total)))) if kind == "resize" else None
    sheet = _sheet(page, draw, max_tok, crop_tok)
    order = [int(f) for f in draw.permutation(len(page.fields))]
    inside = [f for f in order if (sheet.token_of[slice(*page.chars.answer_span[f])] >= 0).all()]
    chosen = (inside if kind == "asked" else inside + [f for f in order if f not in inside][:2])[:questions]
    tokens = _tokens(kind, sheet, draw, inside[:questions])
    cells = np.stack(np.divmod(tokens, sheet.cols), 1) + np.array(sheet.origin)
    images, picks = [sheet.image], np.stack([np.zeros_like(tokens), tokens], 1)
    if kind == "glimpse":
        coarse, coarse_cells = _glimpse(sheet, int(draw.integers(24, 120)))
        images.append(coarse)
        picks = np.concatenate(
            [np.stack([np.ones(len(coarse_cells), np.int64), np.arange(len(coarse_cells))], 1), picks]
        )
        cells = np.concatenate([coarse_cells + np.array(sheet.origin), cells])
    slot_of = np.full(sheet.rows * sheet.cols, -1, np.int64)
    slot_of[tokens] = np.arange(len(tokens)) + len(picks) - len(tokens)
    asked = [a for f in chosen if (a := _ask(sheet, slot_of, f)) is not None]
    unread = [a for a in asked if a.answer is None]
    asked = [a for a in asked if a.answer is not None] + unread[: max(2, len(asked) // 3)]
    labels = char_labels(page) if sheet.image.shape == page.image.shape else np.zeros((0, 0, SLOTS), np.uint8)
    return View(kind, tuple(images), labels, picks, cells, sheet.side, tuple(asked), _value_key(sheet, slot_of))


def _glimpse(sheet: _Sheet, max_tok: int) -> tuple[NDArray[np.uint8], Ints]:
    """The sheet in at most max_tok coarse tokens; each stands at the cell that its centre falls in."""
    rows, cols = largest_grid(sheet.rows, sheet.cols, max_tok)
    small = Image.fromarray(sheet.image).resize((cols * PATCH_PX, rows * PATCH_PX), Image.Resampling.BICUBIC)
    row, col = np.divmod(np.arange(rows * cols), cols)
    cells = np.stack([(row + 0.5) * sheet.rows // rows, (col + 0.5) * sheet.cols // cols], 1).astype(np.int64)
    return np.asarray(small), cells
