"""Charts of a report as inline SVG: text that can be read and selected, colours of the page, a tooltip on every mark.

All text is escaped here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from saccade.viz.pixels import COLOURS
from saccade.wording import counted

WIDTH, HEIGHT = 420, 250  # of a chart, in its own units; text is 12
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 10, 40


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a chart: from `low` at `start` to `high` at `end`, in units of the chart."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """The coordinate of a value, in units of the chart."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / ((high - low) or 1.0) * (self.end - self.start)


def across(low: float, high: float, ticks: Sequence[float], log: bool = False) -> Axis:
    """A horizontal axis."""
    return Axis(low, high, LEFT, WIDTH - RIGHT, tuple(ticks), log)


def upwards(low: float, high: float, ticks: Sequence[float]) -> Axis:
    """A vertical axis."""
    return Axis(low, high, HEIGHT - BOTTOM, TOP, tuple(ticks))


def steps(high: float, count: int = 5, whole: bool = False) -> tuple[float, ...]:
    """Round numbers from 0 to at least `high`, about `count` steps of 1, 2, 2.5 or 5 times a power of ten."""
    if high <= 0:
        return (0.0, 1.0)
    rough = high / count
    power = 10.0 ** math.floor(math.log10(rough))
    sizes = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(size * power for size in sizes if size * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, round(step))
    return tuple(round(step * number, 10) for number in range(math.ceil(high / step - 1e-9) + 1))


def number(value: float) -> str:
    """A tick's text: 0.25, 1,000, 5."""
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def frame(x: Axis, y: Axis, x_label: str, y_label: str, marks: Sequence[str], name: str) -> str:
    """The chart as SVG: grid, ticks, axis labels, and the marks on top."""
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">']
    for tick in y.ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y.at(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 7, y.at(tick) + 4, number(tick), "end"))
    for tick in x.ticks:
        parts.append(f'<path class="tick" d="M{x.at(tick):.1f} {HEIGHT - BOTTOM}v4"/>')
        parts.append(_text(x.at(tick), HEIGHT - BOTTOM + 17, number(tick), "middle"))
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_label, "middle", "name"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 12 {middle:.1f})"'
    parts.append(_text(12, middle, y_label, "middle", "name", turned))
    return "".join([*parts, *marks, "</svg>"])


def _text(x: float, y: float, words: str, anchor: str, kind: str = "label", more: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def dot(x: float, y: float, colour: str, tip: str, radius: float = 4.5) -> str:
    """A point with a tooltip."""
    return (
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}">'
        f"<title>{escape(tip)}</title></circle>"
    )


def line(points: Sequence[tuple[float, float]], colour: str, kind: str = "line") -> str:
    """A line through points."""
    d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="{kind}" d="{d}" stroke="{colour}"/>' if len(points) > 1 else ""


def whisker(x: float, low: float, high: float, colour: str) -> str:
    """An interval: a thin upright line."""
    return f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}"/>'


def histogram(bins: Sequence[tuple[float, float, int]], x_label: str, tip: Callable[[float, float, int], str]) -> str:
    """A histogram of questions. `bins`: (low, high, count) in order, all of one width."""
    low, high = bins[0][0], bins[-1][1]
    y_ticks = steps(max(count for _, _, count in bins), 4, whole=True)
    edges = [bins[0][0], *(end for _, end, _ in bins)]
    every = max(1, math.ceil((len(edges) - 1) / 6))
    x, y = across(low, high, edges[::every]), upwards(0, y_ticks[-1], y_ticks)
    return frame(x, y, x_label, "questions", _bars(bins, x, y, tip), f"Histogram: {x_label}")


def _bars(
    bins: Sequence[tuple[float, float, int]], x: Axis, y: Axis, tip: Callable[[float, float, int], str]
) -> list[str]:
    return [
        f'<rect class="bar" x="{x.at(low) + 1:.1f}" y="{y.at(count):.1f}" '
        f'width="{max(1.0, x.at(high) - x.at(low) - 2):.1f}" height="{y.at(0) - y.at(count):.1f}">'
        f"<title>{escape(tip(low, high, count))}</title></rect>"
        for low, high, count in bins
        if count
    ]


def whole_numbers(values: Sequence[int], x_label: str, what: str) -> str:
    """A histogram with one bar per whole number from the smallest to the largest, such as numbers of fixations."""
    bins = [(value - 0.5, value + 0.5, values.count(value)) for value in range(min(values), max(values) + 1)]
    y_ticks = steps(max(count for _, _, count in bins), 4, whole=True)
    places = range(min(values), max(values) + 1, max(1, math.ceil(len(bins) / 12)))
    x = across(min(bins[0][0], 0.5), max(bins[-1][1], bins[0][0] + 3), tuple(float(place) for place in places))
    y = upwards(0, y_ticks[-1], y_ticks)
    marks = _bars(bins, x, y, lambda low, _, count: f"{counted(count, 'question')} with {low + 0.5:.0f} {what}")
    return frame(x, y, x_label, "questions", marks, f"Histogram: {x_label}")


def binned(values: Sequence[float], most: int = 12) -> list[tuple[float, float, int]]:
    """(low, high, count) of about `most` bins, at least three, of a round width over whole numbers; with empty bins."""
    width = steps(max(max(values) - min(values), 1.0), most, whole=True)[1]
    places = [math.floor(value / width) for value in values]
    first, last = min(places), max(places)
    if last - first < 2:
        first, last = max(0, first - 1), last + 1
    return [(place * width, (place + 1) * width, places.count(place)) for place in range(first, last + 1)]


def tenths(values: Sequence[float]) -> list[tuple[float, float, int]]:
    """(low, high, count) of ten equal bins over values in [0, 1]; 1 is in the last."""
    places = [min(9, math.floor(10 * value)) for value in values]
    return [(place / 10, (place + 1) / 10, places.count(place)) for place in range(10)]


def shares(parts: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars of (name, amount, label); the longest spans the chart."""
    most = max((amount for _, amount, _ in parts), default=0.0) or 1.0
    height = 16 + 34 * len(parts)
    svg = [f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Bars">']
    for place, (name, amount, words) in enumerate(parts):
        y = 8 + 34 * place
        svg.append(_text(2, y + 11, name, "start", "name"))
        svg.append(_text(WIDTH - 2, y + 11, words, "end"))
        svg.append(f'<rect class="track" x="2" y="{y + 17}" width="{WIDTH - 4}" height="7" rx="3.5"/>')
        width = max(1.0, (WIDTH - 4) * amount / most) if amount > 0 else 0
        svg.append(f'<rect class="bar" x="2" y="{y + 17}" width="{width:.1f}" height="7" rx="3.5"/>')
    return "".join([*svg, "</svg>"])


def legend(names: Sequence[str]) -> str:
    """The legend of a chart: names in order, with the colours of their lines."""
    items = "".join(
        f'<li><i style="background:{COLOURS[place % len(COLOURS)]}"></i>{escape(name)}</li>'
        for place, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'
