"""The look of charts: axes with labels and units, faint grid, no frame, colours that colour-blind eyes tell apart."""

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from saccade.viz.lettering import INK, MUTED, font

CHART_DPI = 200
SIZE, SMALL = 9.0, 7.5  # points: legible at the width of a column of print
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def chart(width_in: float, height_in: float) -> Figure:
    """An empty figure for charts; what `add_subplot` puts on it is kept apart, labels and all."""
    figure = Figure(
        figsize=(width_in, height_in), dpi=CHART_DPI, facecolor="white", layout=ConstrainedLayoutEngine(wspace=0.05)
    )
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Any, title: str, across: str, up: str) -> Any:
    """Axes with their title, the names and units of both directions, and the house's look."""
    axes.set_title(title, font=font(SIZE, bold=True), color=INK, loc="left", pad=8)
    axes.set_xlabel(across, font=font(SIZE), color=INK)
    axes.set_ylabel(up, font=font(SIZE), color=INK)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontproperties(font(SMALL))
    axes.tick_params(colors=MUTED, labelcolor=MUTED, length=3, width=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set(color=MUTED, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def colour_bar(figure: Figure, shown: Any, axes: Any, label: str) -> None:
    """The scale of what `axes` show in colours, beside them."""
    bar = figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.03)
    bar.set_label(label, font=font(SIZE - 1), color=MUTED)
    bar.outline.set_visible(False)
    for tick in bar.ax.get_yticklabels():
        tick.set_fontproperties(font(SMALL))
    bar.ax.tick_params(length=2, width=0.5, colors=MUTED, labelcolor=MUTED)
