"""Setting text for a picture: measuring and wrapping lines, stacking them into blocks. Everything is in pixels.

One typeface, DejaVu Sans as Matplotlib brings it, so that a picture does not depend on the machine it is drawn on. A
character it lacks is drawn as an empty box.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties, get_font

INK, MUTED, FAINT = "#1a1d21", "#5b6470", "#d9dde2"
READ = "#0b5c8f"  # what was read
EVIDENCE = "#dd0022"  # the box of where: no fixation has this colour
DPI = 72  # a point is a pixel: font sizes and line widths are pixels
LEADING = 1.32  # line height over font size; DejaVu's ascent and descent together are 1.17
ASCENT = 1.0  # from the top of a line to its baseline, over font size
MISSING = "\u25af"  # white vertical rectangle


@dataclass(frozen=True, slots=True)
class Style:
    """How a paragraph is set. `lines` is the most it may take; what does not fit ends in an ellipsis."""

    size_px: float
    colour: str = INK
    bold: bool = False
    lines: int = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; `y_px` is its baseline, below the top of its block."""

    text: str
    y_px: float
    style: Style


@dataclass(frozen=True, slots=True)
class Block:
    """Lines under one another, flush left."""

    lines: tuple[Line, ...]
    height_px: float


def block(paragraphs: Sequence[tuple[str, Style]], width_px: float) -> Block:
    """Stacks paragraphs (text, style), each wrapped to the width; empty ones take no room."""
    lines, y = [], 0.0
    for text, style in paragraphs:
        for line in wrap(text, width_px, style):
            lines.append(Line(line, y + ASCENT * style.size_px, style))
            y += LEADING * style.size_px
    return Block(tuple(lines), y)


def wrap(text: str, width_px: float, style: Style) -> list[str]:
    """Breaks a text at spaces, and inside words that are wider than a line, into at most `style.lines` lines."""
    rest = printable(text)
    lines: list[str] = []
    while rest:
        fits = _longest(rest, width_px, style)
        if fits == len(rest):
            return [*lines, rest]
        if len(lines) == style.lines - 1:
            fits = _longest(rest, width_px - measure("…", style), style)
            return [*lines, rest[:fits].rstrip() + "…"]
        space = rest.rfind(" ", 0, fits + 1)
        cut = space if space > 0 else fits
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def _longest(text: str, width_px: float, style: Style) -> int:
    """How many leading characters fit the width; at least one."""
    low, high = 1, min(len(text), int(4 * width_px / style.size_px) + 1)  # an i is 0.28 wide
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle], style) <= width_px:
            low = middle
        else:
            high = middle - 1
    return low


def printable(text: str) -> str:
    """On one line, every character one that the typeface has."""
    flat = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)
    marks = [char if ord(char) in _known() else MISSING for char in flat if unicodedata.category(char) != "Cf"]
    return " ".join("".join(marks).split())


@lru_cache(maxsize=4096)
def measure(text: str, style: Style) -> float:
    """Width of a text set on one line."""
    return float(_renderer().get_text_width_height_descent(text, font(style.size_px, style.bold), False)[0])


@cache
def font(size_px: float, bold: bool = False) -> FontProperties:
    """The typeface in one size."""
    return FontProperties(fname=_file(bold), size=size_px)


@cache
def _file(bold: bool) -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"


@cache
def _known() -> frozenset[int]:
    """Code points that the typeface has."""
    return frozenset(get_font(str(_file(False))).get_charmap())


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(8, 8, DPI)
