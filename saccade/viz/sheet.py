"""A sheet measured in pixels: images pixel on pixel, set text, colour scales; and rows of panels, all laid out alike.

`panels` lays out what several pictures share: a title, then images side by side, each with its name above and a note
below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from saccade.errors import ConfigError
from saccade.viz.layout import Box
from saccade.viz.lettering import DPI, MUTED, Block, Style, block, font, measure
from saccade.viz.pixels import Pixels, shade

SAVED_DPI = 200  # written into the file: a page of 1024 px is 13 cm wide on paper
WIDTH_PX, HIGH_PX = 1800, 1100  # of a sheet of panels; the most that one panel is high

Axes = Any  # Matplotlib's types are not checked


@dataclass(frozen=True, slots=True)
class Panel:
    """One image of a sheet. `limits`: the lowest and highest value of its colours, None for a plain image."""

    name: str
    pixels: Pixels
    note: str = ""
    limits: tuple[float, float] | None = None


def blank(width_px: int, height_px: int) -> Figure:
    """An empty white figure of that many pixels."""
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, box: Box, label: str) -> Axes:
    """Axes over a box of the figure whose data coordinates are its pixels, y down. Nothing is drawn of them."""
    width, height = figure.bbox.width, figure.bbox.height
    place = (box.x / width, 1 - (box.y + box.height) / height, box.width / width, box.height / height)
    axes = figure.add_axes(place, label=label)
    axes.set_xlim(0, box.width)
    axes.set_ylim(box.height, 0)
    axes.set_axis_off()
    return axes


def show(axes: Axes, pixels: Pixels, box: Box) -> None:
    """An image of exactly the axes' size, pixel on pixel, in a hairline."""
    axes.imshow(pixels, extent=(0, box.width, box.height, 0), aspect="auto", interpolation="nearest")
    frame = Rectangle((-0.5, -0.5), box.width + 1, box.height + 1, fill=False, ec="#9aa1ab", lw=1, clip_on=False)
    frame.set_snap(False)  # snapped, it would leave a white gap
    axes.add_patch(frame)


def text(axes: Axes, x: float, y: float, words: str, style: Style, align: str = "left") -> None:
    """One line of text, its baseline at (x, y)."""
    axes.text(
        x, y, words, font=font(style.size_px, style.bold), color=style.colour, ha=align, va="baseline", parse_math=False
    )


def write(axes: Axes, lines: Block, x: float, y: float) -> None:
    """A block of text, its upper left corner at (x, y)."""
    for line in lines.lines:
        text(axes, x, y + line.y_px, line.text, line.style)


def scale(axes: Axes, x: float, base: float, limits: tuple[float, float], em: float, name: str = "") -> None:
    """A line: a name, the lowest value, the colours from it to the highest one, that value; its baseline at `base`."""
    low, high = limits
    style, width = Style(0.88 * em, colour=MUTED), 3.2 * em
    form = ".2f" if high - low >= 0.05 else ".2g"
    for words in filter(None, (name, f"{low:{form}}")):
        text(axes, x, base, words, style)
        x += measure(words, style) + 0.6 * em
    steps = np.arange(64)
    bars = [Rectangle((x + step * width / 64, base - 0.62 * em), width / 64, 0.62 * em) for step in steps]
    axes.add_collection(PatchCollection(bars, facecolors=shade(steps / 63), lw=0, antialiased=False), autolim=False)
    text(axes, x + width + 0.6 * em, base, f"{high:{form}}", style)


def panel_size(width_px: int, height_px: int, columns: int) -> tuple[int, int]:
    """Width and height, px, of an image of this shape as one of `columns` panels of a row."""
    gap = 2 * EM
    room = (WIDTH_PX - gap * (columns + 1)) // columns
    by = min(room / width_px, HIGH_PX / height_px)
    return max(1, int(by * width_px)), max(1, int(by * height_px))


EM = 20  # size of the text of a sheet of panels


def panels(title: str, facts: str, shown: Sequence[Panel], columns: int) -> Figure:
    """A sheet of panels, `columns` a row, left to right; rows as high as their highest panel.

    Panels are drawn as large as they are; narrower ones than the room of a column keep its width for their text.
    """
    gap, room = 2 * EM, (WIDTH_PX - 2 * EM * (columns + 1)) // columns
    slot = max(min(room, max(panel.pixels.shape[1] for panel in shown)), 11 * EM)
    width = max(columns * (slot + gap) + gap, 34 * EM)
    head = block(
        [(title, Style(1.25 * EM, bold=True, lines=3)), (facts, Style(0.95 * EM, colour=MUTED, lines=3))],
        width - 2 * gap,
    )
    names = [block([(panel.name, Style(EM, bold=True, lines=2))], slot) for panel in shown]
    notes = [block([(panel.note, Style(0.88 * EM, colour=MUTED, lines=4))], slot) for panel in shown]
    placed: list[tuple[Box, int, int]] = []  # of the image; where the name begins, and the text below it
    y = gap + round(head.height_px) + EM
    for start in range(0, len(shown), columns):
        row = range(start, min(start + columns, len(shown)))
        above = max(round(names[i].height_px) for i in row) + EM // 2
        high = max(shown[i].pixels.shape[0] for i in row)
        below = max(_under(shown[i], notes[i]) for i in row)
        for i in row:
            x = gap + (i - start) * (slot + gap)
            box = Box(x, y + above, shown[i].pixels.shape[1], shown[i].pixels.shape[0])
            placed.append((box, y + above - EM // 2 - round(names[i].height_px), y + above + box.height))
        y += above + high + below + gap
    figure = blank(width, y)
    sheet = axes_at(figure, Box(0, 0, width, y), "sheet")
    write(sheet, head, gap, gap)
    for panel, name, note, (box, top, bottom) in zip(shown, names, notes, placed, strict=True):
        write(sheet, name, box.x, top)
        show(axes_at(figure, box, panel.name), panel.pixels, box)
        bottom += EM // 2
        if panel.limits is not None:
            scale(sheet, box.x, bottom + 0.9 * EM, panel.limits, EM)
            bottom += round(1.5 * EM)
        write(sheet, note, box.x, bottom)
    return figure


def _under(panel: Panel, note: Block) -> int:
    """What stands below a panel, px."""
    return EM // 2 + round(note.height_px) + (round(1.5 * EM) if panel.limits is not None else 0)


def render(figure: Figure) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 pixels of a drawn figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a drawn figure as PNG, the same bytes for the same picture; makes the folder.

    Raises:
        ConfigError: the name does not end in .png.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ConfigError(f"a picture is drawn as .png; got {str(path)!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render(figure)).save(path, optimize=True, dpi=(SAVED_DPI, SAVED_DPI))
    return path
