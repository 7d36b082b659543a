"""Business documents this repository generates: forms, invoices, receipts, tables and letters, every box known.

Words are random syllables and numbers, so that a model has to read them. Every page is a pure function of (seed,
index). The x-height of a page is log-uniform between 6 px and clamp(page_px / 50, 8, 20) px: a 512-px page is a smaller
document with fewer fields, not an unreadable one. Fonts are those that matplotlib carries (DejaVu, STIX). Answers
are as printed.

    page = render(seed=0, index=0, page_px=1024)
    page.fields[0].question, page.fields[0].answer       # ('What is the invoice number?', 'KT-48213')

Training draws from seeds below VALIDATION_SEED, validation from those above.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydantic import Field as Setting

from saccade.datasets import Dataset, Row, Skip
from saccade.datasets._synthdoc_fonts import Family, families
from saccade.datasets._synthdoc_foreign import foreign
from saccade.datasets._synthdoc_language import Writer, word_lists
from saccade.datasets._synthdoc_layouts import LAYOUTS
from saccade.datasets._synthdoc_lines import ask_lines
from saccade.datasets._synthdoc_print import FACES, Printer, bundled
from saccade.datasets._synthdoc_wear import worn
from saccade.errors import DataError
from saccade.picture import Picture
from saccade.types import Question

VALIDATION_SEED = 1 << 30  # seeds from here on are validation pages
KINDS = ("form", "invoice", "receipt", "table", "letter")
REAL_KINDS = (*KINDS, "till", "till")

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Real:
    """Print as the world prints: many type families, capitals, dense lines, till rolls, worn and scanned paper, and
    questions about lines as well as about fields."""

    fonts: str = ""  # a folder of type families; "": the four of matplotlib
    words: str = ""  # a folder of word lists; "": all words are made up of syllables
    held_out: bool = False  # prints with the families, and in the words, that are kept from training
    most_lines: int = 12  # questions about lines on a page

    def families(self) -> tuple[Family, ...]:
        return families(self.fonts, self.held_out) if self.fonts else tuple(bundled(name) for name in FACES)

    def lists(self) -> tuple[tuple[str, ...], ...]:
        return word_lists(self.words, self.held_out) if self.words else ()


PLAIN = Real()


class SynthDoc(Dataset):
    """Generated forms, receipts, invoices, tables and letters with questions; validation and training never meet."""

    split: Literal["validation", "train"] = "validation"
    seed: int = Setting(0, ge=0, lt=VALIDATION_SEED, description="Another seed, other pages.")
    page_px: int = Setting(1024, ge=256, le=8192, description="Longest side of a page.")
    num_pages: int = Setting(64, ge=1, description="Pages in the data set.")
    questions_per_page: int = Setting(8, ge=1, description="At most; a page smaller than 1024 px may hold fewer.")

    def rows(self) -> Iterator[Row | Skip]:
        for index in range(self.num_pages):
            page = self.page(index)
            order = np.random.default_rng([self.stored_seed, index, 3]).permutation(len(page.fields))
            chosen = [(int(i), page.fields[i]) for i in sorted(order[: self.questions_per_page])]
            image_id = f"{type(self).__name__.lower()}-{self.seed}-{index}"
            yield Row(image_id, str(index), tuple(_question(f"{image_id}-{i}", field) for i, field in chosen))

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        if not source.isdecimal():
            raise DataError(f"synthdoc opens a page by its number; got {source!r}")
        return Picture(partial(_pixels, self, int(source)), limit_px)

    def strangers(self, row: Row, count: int) -> tuple[str, ...]:
        number = int(row.source)
        return tuple(self.page(number).foreign(count, number))

    def page(self, index: int) -> "Page":
        """Page `index`, drawn again at every call."""
        return render(self.stored_seed, index, self.page_px)

    @property
    def stored_seed(self) -> int:
        """The seed for `render`."""
        return self.seed + (VALIDATION_SEED if self.split == "validation" else 0)


def _pixels(dataset: SynthDoc, index: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of page `index`."""
    pixels: NDArray[np.uint8] = np.repeat(dataset.page(index).image[..., None], 3, axis=2)
    return pixels


def _question(question_id: str, field: "Field") -> Question:
    about = {"kind": field.kind, "x_height_px": field.x_height_px, "key_box_uv": field.key_box}
    return Question(question_id, field.question, (field.answer,), (field.answer_box,), about)


@dataclass(frozen=True, slots=True)
class Field:
    """One question that the page answers. Boxes are (left, top, right, bottom) in uv of the whole page."""

    kind: str
    question: str
    answer: str
    answer_box: Box
    key_box: Box
    x_height_px: float


@dataclass(frozen=True, slots=True)
class Chars:
    """Every printed character of a page (n of them), spaces inside a text included."""

    code: NDArray[np.uint8]  # (n,) ASCII
    box_px: NDArray[np.float32]  # (n, 4) left, top, right, bottom
    begin: NDArray[np.int32]  # (n,) the first character of the text it was printed with
    key_span: NDArray[np.int32]  # (F, 2) first and past-the-last character of each field's key
    answer_span: NDArray[np.int32]  # (F, 2) the same of its answer

    @property
    def centre_px(self) -> NDArray[np.float32]:
        """(n, 2) x, y in px of each character's centre."""
        return ((self.box_px[:, :2] + self.box_px[:, 2:]) / 2).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered page: grey pixels (H, W), its fields and its characters."""

    image: NDArray[np.uint8]
    kind: str
    fields: tuple[Field, ...]
    chars: Chars

    def foreign(self, count: int, seed: int) -> list[str]:
        """`count` questions that it does not answer, drawn by a seed."""
        texts = [self.chars.code.tobytes().decode("ascii", "replace"), *(field.question for field in self.fields)]
        return foreign(" ".join(texts), Writer(seed), count)


def render(
    seed: int,
    index: int,
    page_px: int = 1024,
    kind: str | None = None,
    x_height_px: float | None = None,
    real: Real | None = None,
    most_px: int | None = None,
) -> Page:
    """Page `index` of `seed`, its longest side page_px, the other a multiple of 16.

    kind: one of KINDS, 'sheet' (a square full of text, for training the encoder), or None: drawn, as x_height_px is.
    real: how it is printed and worn; None: clean, in few fonts.
    most_px: its area; a page that would be larger is narrower.
    A document has at least eight questions, a page under 1024 px in proportion fewer: one with less is drawn again.
    """
    least = 0 if kind == "sheet" else max(1, min(8, page_px // 128))
    for attempt in itertools.count():
        state = np.random.SeedSequence([seed, index, page_px, attempt, *((len(REAL_KINDS),) if real else ())])
        r = Writer(int(state.generate_state(1, np.uint64)[0]), real.lists() if real else ())
        printed, kind_drawn = _print(r, page_px, kind, x_height_px, real, most_px)
        if len(printed.fields) >= least:
            break
    boxes, image = np.array(printed.boxes, np.float32).reshape(-1, 4), printed.image
    if r.random() < 0.3:
        image, boxes = _skew(printed, boxes, max(-3.0, min(3.0, r.gauss(0, 1.2))) if real else r.uniform(-1, 1))
    spans = np.array(printed.spans, np.int32).reshape(-1, 2, 2)
    lengths = [len(text) for text in printed.code]
    begin = np.repeat(np.cumsum([0, *lengths])[:-1], lengths).astype(np.int32)
    code = np.frombuffer("".join(printed.code).encode("ascii"), np.uint8)
    uv = (boxes / np.array([*image.size, *image.size])).astype(np.float32)
    fields = tuple(
        Field(kind, question, answer, _hull(uv[slice(*at)]), _hull(uv[slice(*key)]), x_height)
        for (kind, question, answer, x_height), (key, at) in zip(printed.fields, printed.spans, strict=True)
    )
    noise = np.random.default_rng(state)
    pixels = worn(image, printed.paper, r, noise, printed.x_height) if real else _wear(image, r, noise)
    return Page(pixels, kind_drawn, fields, Chars(code, boxes, begin, spans[:, 0], spans[:, 1]))


def _print(
    r: Writer,
    page_px: int,
    kind: str | None,
    x_height_px: float | None,
    real: Real | None,
    most_px: int | None,
) -> tuple[Printer, str]:
    """An upright, clean page and its kind."""
    kind = kind or r.choice(REAL_KINDS if real else KINDS)
    shapes = {"receipt": (0.45, 0.75), "till": (0.3, 0.75)}
    short = min(page_px * r.uniform(*shapes.get(kind, (0.68, 1.0))), most_px / page_px if most_px else page_px)
    short_px = page_px if kind == "sheet" else max(16, round(short / 16) * 16)
    size = (page_px, short_px) if kind in ("table", "form") and r.random() < 0.3 else (short_px, page_px)
    x_height_px = x_height_px or math.exp(r.uniform(math.log(6), math.log(min(max(page_px / 50, 8), 20))))
    paper, ink = r.choice((255, r.randint(190, 255))), r.choice((0, r.randint(0, 100)))
    printer = Printer(r, *size, x_height_px, paper, ink, real.families() if real else None)
    if real:
        printer.capitals = r.random() < (0.3 if kind == "till" else 0.15)
        printer.pitch = max(x_height_px * r.uniform(2.0, 3.2), 11.0)
    LAYOUTS[kind](printer, printer.margin + x_height_px * r.uniform(1, 2))
    if real and kind != "sheet":
        ask_lines(printer, real.most_lines)
    return printer, kind


def _wear(image: Image.Image, r: Writer, noise: np.random.Generator) -> NDArray[np.uint8]:
    """Blur, uneven light and noise of a scan; (H, W) uint8."""
    if r.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(r.uniform(0.3, 0.7)))
    pixels = np.asarray(image, dtype=np.float32)
    if r.random() < 0.5:
        light = Image.fromarray(noise.uniform(-14, 14, (4, 4)).astype(np.float32))
        pixels = pixels + np.asarray(light.resize(image.size, Image.Resampling.BICUBIC))
    if r.random() < 0.6:
        pixels = pixels + noise.standard_normal(pixels.shape, dtype=np.float32) * r.uniform(1, 12)
    worn: NDArray[np.uint8] = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    return worn


def _skew(p: Printer, boxes: NDArray[np.float32], degrees: float) -> tuple[Image.Image, NDArray[np.float32]]:
    """Turns the page about its centre; boxes become the upright hulls of the turned ones."""
    image = p.image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=p.paper)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    middle = np.array([p.width, p.height], np.float32) / 2
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] - middle  # (n, 4, 2)
    turned = corners @ np.array([[c, -s], [s, c]], np.float32) + middle
    return image, np.concatenate([turned.min(1), turned.max(1)], axis=1)


def _hull(boxes: NDArray[np.float32]) -> Box:
    """The smallest box around (n, 4) boxes."""
    (left, top), (right, bottom) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    return float(left), float(top), float(right), float(bottom)
