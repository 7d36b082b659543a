"""The picture of a trace: the page with what was kept, numbered gazes in order, importance, what was read.

    figure = draw_trace(picture, encoding.grid, trace, importance=scores)
    save(figure, "out.png")

What no fixation kept fades into grey; what one kept stays as it is, outlined in the fixation's colour. A ring marks
each gaze (its middle stays free, because the answer tends to be there), a disc beside it bears the number, arrows join
them in order. Where everything was kept at once (full, resize) the page is plain. A red box marks where the answer was
read.
"""

from collections.abc import Sequence
from math import hypot

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from matplotlib.patheffects import Normal, withStroke
from numpy.typing import NDArray
from torch import Tensor

from saccade.geometry.grid import on_canvas
from saccade.picture import Picture
from saccade.types import Grid, Trace
from saccade.viz.layout import Box, Plan, arrange, badges, page_size
from saccade.viz.lettering import EVIDENCE, FAINT, INK, font
from saccade.viz.pixels import COLOURS, heat, limits, lit, rgb, scaled
from saccade.viz.sheet import Axes, axes_at, blank, render, save, scale, show, write
from saccade.viz.view import TraceView

__all__ = ["draw", "draw_trace", "render", "save"]

Uv = tuple[float, float, float, float]
Boxes = Sequence[Uv]


def draw_trace(
    picture: Picture, grid: Grid, trace: Trace, importance: Tensor | None = None, boxes_uv: Boxes = ()
) -> Figure:
    """Draws a live trace. `grid` is that of the encoding, `importance` (N,) what its tokens scored.

    Without `importance` that of the first gaze is shown, if the planner left one. `boxes_uv`: where the answer stands.

    Raises:
        PictureError: the picture cannot be read.
    """
    if importance is None:
        importance = next((step.gaze.importance for step in trace.steps if step.gaze.importance is not None), None)
    field = None
    if importance is not None:
        field = on_canvas(grid, importance.detach().float().cpu()).reshape(grid.rows, grid.cols).numpy()
    return draw(TraceView.from_trace(trace, grid), picture, field, boxes_uv)


def draw(
    view: TraceView, picture: Picture, importance: NDArray[np.floating] | None = None, boxes_uv: Boxes = ()
) -> Figure:
    """Draws a trace wherever it comes from. `importance` (rows, cols); a pixel of the figure is a pixel of the file.

    Raises:
        PictureError: the picture cannot be read.
    """
    width, height = page_size(picture.width_px, picture.height_px)
    page = scaled(picture.rgb, width, height)
    plan = arrange(view, width, height, heat=importance is not None, boxes=bool(boxes_uv))
    figure = blank(plan.width, plan.height)
    sheet = axes_at(figure, Box(0, 0, plan.width, plan.height), "sheet")
    write(sheet, plan.title, plan.margin, plan.margin)
    _list(sheet, view, plan)
    shown = axes_at(figure, plan.page, "page")
    show(shown, lit(page, view), plan.page)
    if view.evidence_uv is not None:
        _box(shown, view.evidence_uv, plan.page, EVIDENCE)
    for box in boxes_uv:
        _box(shown, box, plan.page, "black", dashes=(5, 3))
    _scanpath(shown, view, plan)
    if plan.heat is not None and importance is not None:
        field = np.asarray(importance, dtype=np.float64)
        base = plan.heat.y - 0.65 * plan.em
        scale(sheet, float(plan.heat.x), base, limits(field), plan.em, "importance")
        mapped = axes_at(figure, plan.heat, "importance")
        show(mapped, heat(scaled(page, plan.heat.width, plan.heat.height), field), plan.heat)
        _dots(mapped, view, plan.heat, 0.24 * plan.em)
    return figure


def _list(sheet: Axes, view: TraceView, plan: Plan) -> None:
    """One item per fixation: its number, answer, confidence as a bar, and why it looked there."""
    indent = round(2.2 * plan.em)
    for number, (box, lines) in enumerate(plan.items):
        _badge(sheet, box.x + plan.badge, box.y + 0.62 * plan.em, number, plan)
        write(sheet, lines, box.x + indent, box.y)
        thick, length = 0.22 * plan.em, box.width - indent
        top = box.y + box.height - thick
        level = min(1.0, max(0.0, view.looks[number].confidence))
        sheet.add_patch(Rectangle((box.x + indent, top), length, thick, color=FAINT, lw=0))
        sheet.add_patch(
            Rectangle((box.x + indent, top), level * length, thick, color=COLOURS[number % len(COLOURS)], lw=0)
        )


def _badge(axes: Axes, x: float, y: float, number: int, plan: Plan) -> None:
    """A numbered disc."""
    colour = COLOURS[number % len(COLOURS)]
    red, green, blue = rgb(colour)
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 150
    size = (0.92 if number < 9 else 0.74) * plan.em
    axes.add_patch(Circle((x, y), plan.badge, fc=colour, ec="white", lw=0.1 * plan.em, clip_on=False, zorder=6))
    axes.text(
        x,
        y + 0.36 * size,
        str(number + 1),
        font=font(size, bold=True),
        color="white" if dark else INK,
        ha="center",
        va="baseline",
        zorder=7,
    )


def _scanpath(axes: Axes, view: TraceView, plan: Plan) -> None:
    """Rings at the gazes, arrows from each to the next, numbered discs beside them."""
    aimed = [(number, look) for number, look in enumerate(view.looks) if look.aimed]
    gazes = [(look.gaze_uv[0] * plan.page.width, look.gaze_uv[1] * plan.page.height) for _, look in aimed]
    ring, thick = 0.95 * plan.em, 0.12 * plan.em
    halo = [withStroke(linewidth=2.2 * thick, foreground="white"), Normal()]
    for (x0, y0), (x1, y1) in zip(gazes, gazes[1:], strict=False):
        length, free = hypot(x1 - x0, y1 - y0), ring + 0.2 * plan.em
        if length > 2.5 * free:
            cut = free / length
            start = x0 + cut * (x1 - x0), y0 + cut * (y1 - y0)
            end = x1 - cut * (x1 - x0), y1 - cut * (y1 - y0)
            arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=0.8 * plan.em, shrinkA=0, shrinkB=0)
            arrow.set(color=INK, linewidth=0.8 * thick, path_effects=halo, clip_on=False, zorder=4)
            axes.add_patch(arrow)
    for (number, _), (x, y) in zip(aimed, gazes, strict=True):
        colour = COLOURS[number % len(COLOURS)]
        axes.add_patch(
            Circle((x, y), ring, fill=False, ec=colour, lw=1.4 * thick, path_effects=halo, clip_on=False, zorder=5)
        )
    spots = badges(gazes, plan.badge, ring, plan.page.width, plan.page.height, plan.spill)
    for (number, _), (x, y) in zip(aimed, spots, strict=True):
        _badge(axes, x, y, number, plan)


def _box(axes: Axes, box_uv: Uv, page: Box, colour: str, dashes: tuple[int, int] | None = None) -> None:
    x0, y0, x1, y1 = box_uv
    corner, width, height = (x0 * page.width, y0 * page.height), (x1 - x0) * page.width, (y1 - y0) * page.height
    style = "-" if dashes is None else (0, dashes)
    axes.add_patch(Rectangle(corner, width, height, fill=False, ec="white", lw=3.5, zorder=3))
    axes.add_patch(Rectangle(corner, width, height, fill=False, ec=colour, lw=1.5, ls=style, zorder=3))


def _dots(axes: Axes, view: TraceView, box: Box, radius: float) -> None:
    """The gazes on the importance, small and without numbers."""
    for number, look in enumerate(view.looks):
        if look.aimed:
            spot = look.gaze_uv[0] * box.width, look.gaze_uv[1] * box.height
            colour = COLOURS[number % len(COLOURS)]
            axes.add_patch(Circle(spot, radius, fc=colour, ec="white", lw=0.35 * radius, clip_on=False, zorder=5))
