"""How alike the tokens are: their cosine matrix, its histogram, and which tokens have many doubles."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from saccade.tokens.likeness import NUM_BINS, Likeness, compare
from saccade.viz.charts import SMALL, chart, colour_bar, dress
from saccade.viz.lettering import font
from saccade.viz.pictures import Drawing
from saccade.viz.pixels import COLOURS
from saccade.viz.subject import Subject, on_grid
from saccade.wording import counted


class Similarity(Drawing):
    """Three charts: the matrix in raster order, the histogram of pairs, and where the tokens with doubles stand."""

    threshold: float = Field(0.9, gt=-1, lt=1, description="Cosine above which two tokens count as doubles.")

    def __call__(self, subject: Subject) -> Figure:
        """The figure."""
        scene = subject.scene
        cosines, num_tok = compare(scene.tokens[0], self.threshold), scene.tokens.shape[1]
        grid = scene.grids[0]
        aspect = grid.width_px / grid.height_px
        figure = chart(11.0, 3.6)
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, min(1.6, max(0.6, aspect))))
        _matrix(figure, left, cosines, num_tok)
        _histogram(middle, cosines, self.threshold)
        field = on_grid(scene, cosines.doubles)
        shown = right.imshow(
            np.where(np.isfinite(field), field, np.nan),
            extent=(0, grid.width_px, grid.height_px, 0),
            cmap="OrRd",
            vmin=0,
            interpolation="nearest",
        )
        dress(right, "Where the doubles stand", "px", "px")
        colour_bar(figure, shown, right, f"share of tokens with cosine > {self.threshold:g}")
        for axes in (left, middle, right):
            axes.set_anchor("N")
        return figure


def _matrix(figure: Figure, axes: Any, cosines: Likeness, num_tok: int) -> None:
    shown = axes.imshow(
        cosines.matrix.numpy(), extent=(0, num_tok, num_tok, 0), cmap="viridis", interpolation="nearest"
    )
    dress(axes, f"Cosine of {counted(num_tok, 'token')}", "token, in raster order", "token, in raster order")
    colour_bar(
        figure, shown, axes, "cosine" + (f", mean of {cosines.block} x {cosines.block}" if cosines.block > 1 else "")
    )


def _histogram(axes: Any, cosines: Likeness, threshold: float) -> None:
    edges = np.linspace(-1, 1, NUM_BINS + 1)
    share = cosines.counts.numpy() / max(1, int(cosines.counts.sum()))
    axes.stairs(100 * share, edges, fill=True, color=COLOURS[0])
    filled = np.flatnonzero(share)
    low = edges[filled[0]] if len(filled) else -1.0
    axes.set_xlim(min(low, threshold) - 0.05, 1.0)
    axes.set_ylim(0, 118 * max(share.max(), 1e-9))
    axes.axvline(threshold, color=COLOURS[1], lw=1.2, ls=(0, (4, 2)))
    words = f"{100 * cosines.redundant:.1f} % of pairs > {threshold:g} "
    top = axes.get_ylim()[1]
    axes.text(threshold, 0.99 * top, words, font=font(SMALL, bold=True), color=COLOURS[1], ha="right", va="top")
    dress(axes, "Pairs of different tokens", "cosine", "% of pairs, in steps of 0.01")
    axes.grid(axis="y", color="#e4e6ea", lw=0.6)
