"""The pictures of `saccade analyze`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, PercentFormatter

from saccade.analysis.eccentricity import Band
from saccade.analysis.information import BottleneckPoint
from saccade.analysis.layers import LayerLikeness
from saccade.analysis.pruning import RESIZE, RatePoint
from saccade.analysis.scanpath import FOVEA_DEG, HUMAN, HUMAN_COVERAGE, PARAFOVEA_DEG, ScanpathStatistics
from saccade.importance.entropy import Entropy
from saccade.importance.mutual import divergence
from saccade.types import Scene
from saccade.viz.charts import MARKS, SMALL, chart, colour_bar, dress
from saccade.viz.lettering import MUTED, font
from saccade.viz.pixels import COLOURS
from saccade.viz.subject import on_grid

GRID = "#e4e6ea"
DRAWN = 6  # layers with a matrix of their own


def layers(likenesses: Sequence[LayerLikeness], shares: Sequence[float], threshold: float) -> Figure:
    """Matrices and histograms of some layers, and `shares` of pairs above the threshold of all."""
    some = [likenesses[round(i)] for i in np.linspace(0, len(likenesses) - 1, min(DRAWN, len(likenesses)))]
    figure = chart(2.1 * len(some) + 3.2, 4.4)
    grid = figure.add_gridspec(2, len(some) + 1, width_ratios=[1] * len(some) + [1.4])
    shown = None
    for column, layer in enumerate(some):
        axes = figure.add_subplot(grid[0, column])
        cosines = layer.likeness.matrix.numpy()
        shown = axes.imshow(cosines, extent=(0, layer.patches, layer.patches, 0), cmap="viridis", vmin=-0.2, vmax=1)
        dress(axes, f"Block {layer.layer + 1}", "patch", "patch, in the tower's order" if column == 0 else "")
        axes.set_xticks([0, layer.patches])
        axes.set_yticks([0, layer.patches] if column == 0 else [])
        _histogram(figure.add_subplot(grid[1, column]), layer, threshold, column == 0)
    side = figure.add_subplot(grid[:, -1])
    places = [layer.layer + 1 for layer in likenesses]
    side.plot(places, [100 * share for share in shares], marker="o", ms=5, lw=1.2, color=COLOURS[1], label="share")
    side.set_ylim(0, max(5.0, 110 * max(shares)))
    side.xaxis.set_major_locator(MaxNLocator(integer=True))
    dress(side, f"Pairs with cosine > {threshold:g}", "block of the vision tower", "% of pairs of patches")
    side.grid(axis="y", color=GRID, lw=0.6)
    if shown is not None:
        colour_bar(figure, shown, side, "cosine (matrices)")
    return figure


def _histogram(axes: Any, layer: LayerLikeness, threshold: float, first: bool) -> None:
    counts = layer.likeness.counts.numpy()
    share = 100 * counts / max(1, counts.sum())
    axes.stairs(share, np.linspace(-1, 1, len(counts) + 1), fill=True, color=COLOURS[0])
    axes.axvline(threshold, color=COLOURS[1], lw=1.2, ls=(0, (4, 2)))
    axes.set_xlim(-0.6, 1)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    dress(
        axes,
        f"{100 * layer.redundant:.1f} % > {threshold:g}",
        "cosine",
        "% of pairs, in steps of 0.01" if first else "",
    )


def rates(
    curves: Sequence[Sequence[RatePoint]], smallest: Sequence[RatePoint | None], keeps: float, metric: str
) -> Figure:
    """Scores, called `metric`, against the share of tokens, and the error of the features. One curve per way."""
    figure = chart(8.6, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    full = max(point.score.mean for curve in curves for point in curve if point.share == 1)
    left.axhline(keeps * full, color=MUTED, lw=0.8, ls=(0, (2, 2)))
    every = sorted({point.share for curve in curves for point in curve})
    for number, (curve, least) in enumerate(zip(curves, smallest, strict=True)):
        colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
        shift = 1.035 ** (number - (len(curves) - 1) / 2)  # intervals at one share side by side
        places = [point.share * (1 if point.share == 1 else shift) for point in curve]
        means = [point.score.mean for point in curve]
        low, high = ([getattr(p.score, end) for p in curve] for end in ("low", "high"))
        bounds = [
            [mean - (mean if end is None else end) for mean, end in zip(means, low, strict=True)],
            [(mean if end is None else end) - mean for mean, end in zip(means, high, strict=True)],
        ]
        named = "" if least is None else f" ({least.kept_tok:,.0f})"
        left.errorbar(places, means, bounds, color=colour, marker=mark, ms=5, lw=1.2, elinewidth=0.8, capsize=1.5,
                      mec="white", mew=0.5, clip_on=False, zorder=3, label=curve[0].way + named)  # fmt: skip
        if curve[0].way != RESIZE:
            errors = [math.nan if point.error is None else point.error for point in curve]
            right.plot([point.share for point in curve], errors, color=colour, marker=mark, ms=5, lw=1.2, clip_on=False)
    words = f"dotted: {100 * keeps:.0f} % of the accuracy with all tokens; in brackets: the fewest tokens that keep it"
    dress(left, "Accuracy against tokens kept", "share of the image's tokens", f"{metric}, with its 95 % interval")
    dress(right, "What is lost of the features", "share of the image's tokens", "squared error / variance")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(every))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(every, [_fraction(share) for share in every], font=font(SMALL))
        axes.set_ylim(bottom=0)
        axes.grid(color=GRID, lw=0.6)
    left.set_ylim(0, max(1.0, left.get_ylim()[1]))
    figure.legend(loc="outside lower center", ncols=4, frameon=False, prop=font(SMALL), title=words,
                  title_fontproperties=font(SMALL))  # fmt: skip
    return figure


def _fraction(share: float) -> str:
    return "all" if share == 1 else f"1/{1 / share:g}" if (1 / share).is_integer() else f"{share:.3g}"


def scanpaths(degrees: Sequence[float], statistics: ScanpathStatistics) -> Figure:
    """Amplitudes beside those of human eyes, and coverage against fixations."""
    figure = chart(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    top = max([*degrees, 15.0]) * 1.02
    if degrees:
        edges = np.linspace(0, top, 21)
        left.hist(degrees, edges, color=COLOURS[0], weights=[100 / len(degrees)] * len(degrees))
    height = left.get_ylim()[1]
    for number, (name, figures) in enumerate(HUMAN.items()):
        level, (low, high) = height * (1.08 + 0.13 * number), figures["amplitude_deg"]
        left.plot([low, high], [level, level], lw=3, color=COLOURS[number + 1], solid_capstyle="butt")
        words = f" people, {name}: {low:g} to {high:g}"
        left.text(high, level, words, font=font(SMALL), color=COLOURS[number + 1], va="center")
    left.set(xlim=(0, max(top, 24.0)), ylim=(0, height * 1.32))
    dress(left, f"Amplitude of {len(degrees)} saccades", "degrees, at 33.3 px/deg", "% of saccades")
    counts = np.arange(1, len(statistics.coverage) + 1)
    for number, (name, radius) in enumerate((("fovea", FOVEA_DEG), ("parafovea", PARAFOVEA_DEG))):
        share = [100 * each[number] for each in statistics.coverage]
        right.plot(counts, share, marker=MARKS[number], ms=5, lw=1.2, color=COLOURS[number], clip_on=False,
                   label=f"{name}, within {radius:g} deg of a gaze")  # fmt: skip
    right.plot(*([HUMAN_COVERAGE[0]], [100 * HUMAN_COVERAGE[1]]), marker="*", ms=9, ls="none", color=COLOURS[2],
               label="people, scenes (no radius given)")  # fmt: skip
    right.set(xlim=(0, None), ylim=(0, 132), yticks=range(0, 101, 20))  # room for the legend
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    dress(right, "Coverage of the page", "fixations", "% of the page")
    right.legend(frameon=False, prop=font(SMALL), loc="upper left")
    for axes in (left, right):
        axes.grid(axis="y", color=GRID, lw=0.6)
    return figure


def eccentricity(bands: Sequence[Band]) -> Figure:
    """Where the kept tokens lie, where an eye's samples would, and how densely they stand."""
    figure = chart(8.6, 3.4)
    left, right = figure.subplots(1, 2)
    names = [f"{b.low_deg:g}-{b.high_deg:g}" if math.isfinite(b.high_deg) else f"> {b.low_deg:g}" for b in bands]
    at = np.arange(len(bands))
    ways = (("kept tokens", [b.kept for b in bands]), ("acuity squared", [b.eye for b in bands]))
    for number, (name, values) in enumerate((*ways, ("all tokens", [b.page for b in bands]))):
        left.bar(at + 0.27 * (number - 1), values, 0.25, color=(*COLOURS[:2], "#b8bdc6")[number], label=name)
    for number, (name, lines) in enumerate(
        (
            ("tokens kept here, share", [b.density for b in bands]),
            ("acuity here / at the gaze", [b.acuity for b in bands]),
        )
    ):
        values = [math.nan if value is None else value for value in lines]
        right.plot(at, values, marker=MARKS[number], ms=5, lw=1.2, color=COLOURS[number], clip_on=False, label=name)
    for axes in (left, right):
        axes.set_xticks(at, names)
        axes.grid(axis="y", color=GRID, lw=0.6)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    right.set(xlim=(-0.4, len(bands) - 0.6), ylim=(0, 1.25), yticks=np.arange(0, 1.1, 0.2))
    dress(left, "Where the tokens lie", "degrees from the gaze", "share of tokens")
    dress(right, "How densely they are kept", "degrees from the gaze", "share")
    left.set_ylim(0, 1.25 * left.get_ylim()[1])
    for axes in (left, right):
        axes.legend(frameon=False, prop=font(SMALL), loc="upper right")
    return figure


def information(scene: Scene, points: Sequence[BottleneckPoint]) -> Figure:
    """Bits of each token: of the page, and of the question; what the bottleneck keeps.

    `points` may be [], where nobody asked: only what no question changes is drawn.
    """
    bits = Entropy().raw(scene)[0]
    maps = [("Mean bits of a feature", bits, "magma", "bits")]
    if points:
        maps.append(("Bits of the question", divergence(scene, 1.0)[0], "viridis", "bits, sum: divergence"))
    figure = chart(4.2 * (len(maps) + bool(points)), 3.8)
    every = np.atleast_1d(figure.subplots(1, len(maps) + bool(points)))
    grid = scene.grids[0]
    for axes, (title, values, colours, label) in zip(every, maps, strict=False):
        field = on_grid(scene, values.to(torch.float64))
        shown = axes.imshow(np.where(np.isfinite(field), field, np.nan), cmap=colours, interpolation="nearest",
                            extent=(0, grid.width_px, grid.height_px, 0))  # fmt: skip
        dress(axes, title, "px", "px")
        colour_bar(figure, shown, axes, label)
    if points:
        _bottleneck(every[-1], points)
    return figure


def _bottleneck(axes: Any, points: Sequence[BottleneckPoint]) -> None:
    """Bits of the question on the left axis, likeness of what is kept on the right one, each in its colour."""
    places, other = [point.keep for point in points], axes.twinx()
    axes.plot(places, [point.bits for point in points], marker="o", ms=5, lw=1.2, color=COLOURS[0])
    other.plot(places, [point.redundancy for point in points], marker="s", ms=5, lw=1.2, color=COLOURS[1])
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [f"{place:,}" for place in places])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=min(0.0, *(point.bits for point in points)))
    other.set_ylim(0, 1)
    dress(axes, "Kept by the bottleneck", "tokens kept", "bits of the question")
    dress(other, "", "", "mean cosine of two kept tokens")
    other.spines["right"].set(visible=True, color=MUTED, linewidth=0.6)
    for side, colour in ((axes, COLOURS[0]), (other, COLOURS[1])):
        side.yaxis.label.set_color(colour)
    axes.grid(color=GRID, lw=0.6)
