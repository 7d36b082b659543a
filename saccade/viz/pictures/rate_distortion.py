"""What an answer costs: accuracy against visual tokens, each way of looking with its interval."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, StrMethodFormatter

from saccade.errors import ConfigError
from saccade.viz.charts import MARKS, SMALL, chart, dress
from saccade.viz.lettering import font
from saccade.viz.pictures import Drawing
from saccade.viz.pixels import COLOURS
from saccade.viz.subject import Subject

NEAR = 1.03  # points whose tokens differ by less than this factor stand side by side
STEPS = ((1,), (1, 2, 5), (1, 2, 3, 4, 6, 8), (1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9))  # of a decade, coarse to fine


class RateDistortion(Drawing):
    """Visual tokens per question (logarithmic), score with its 95 % interval; one line per family of variants."""

    def __call__(self, subject: Subject) -> Figure:
        """The figure.

        Raises:
            ConfigError: nothing of the subject has a score.
        """
        curves = subject.curves
        if not any(curve.points for curve in curves):
            raise ConfigError("there is nothing to draw: no answer of it has a score")
        beside = spread([[point.at for point in curve.points] for curve in curves])
        figure = chart(6.4, 3.9)
        axes = figure.add_subplot()
        axes.set_xscale("log")
        for number, (curve, places) in enumerate(zip(curves, beside, strict=True)):
            colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
            scores = [point.score for point in curve.points]
            bounds = [
                [score - (score if p.low is None else p.low) for score, p in zip(scores, curve.points, strict=True)],
                [(score if p.high is None else p.high) - score for score, p in zip(scores, curve.points, strict=True)],
            ]
            axes.errorbar(places, scores, bounds, color=colour, marker=mark, ms=5.5, lw=1.2, elinewidth=0.8,
                          capsize=1.5, label=curve.name, mec="white", mew=0.5, zorder=3, clip_on=False)  # fmt: skip
        _scales(axes, [x for places in beside for x in places])
        across = "visual tokens per question" + (" (nearly equal ones side by side)" if len(curves) > 1 else "")
        dress(axes, "Accuracy against tokens", across, f"{curves[0].metric}, with its 95 % interval")
        axes.grid(color="#e4e6ea", lw=0.6)
        if len(curves) > 1:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, prop=font(SMALL))
        return figure


def spread(across: Sequence[Sequence[float]]) -> list[list[float]]:
    """Tokens of each curve's points, moved apart where points of several curves have nearly as many.

    Points within `NEAR` of the one before them form a group, which is spread evenly about its middle, 2.2 % a point.
    """
    every = sorted((x, number, place) for number, points in enumerate(across) for place, x in enumerate(points))
    out = [list(points) for points in across]
    group: list[tuple[float, int, int]] = []
    for item in [*every, (float("inf"), -1, -1)]:
        if group and item[0] > NEAR * group[-1][0]:
            middle = (group[0][0] * group[-1][0]) ** 0.5
            ordered = sorted(group, key=lambda entry: (entry[1], entry[0]))
            for place, (_, number, own) in enumerate(ordered):
                shift = place - (len(group) - 1) / 2
                out[number][own] = (middle if len(group) > 1 else group[0][0]) * 1.022**shift
            group = []
        group.append(item)
    return out


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, at least four where numbers of one or two digits and noughts allow it."""
    inside: list[float] = []
    for steps in STEPS:
        every = (step * 10.0**power for power in range(8) for step in steps)
        inside = [tick for tick in every if low <= tick <= high]
        if len(inside) >= 4:
            break
    return inside


def _scales(axes: Any, across: Sequence[float]) -> None:
    """Round numbers on the logarithmic axis, scores from 0."""
    low, high = min(across) / 1.15, max(across) * 1.15
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks(low, high)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0)
