"""What the tokens were given to: the picture, its importance, the kept tokens, side by side."""

from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from saccade.viz.pictures import Drawing
from saccade.viz.pixels import heat, limits, lit, scaled
from saccade.viz.sheet import Panel, panel_size, panels
from saccade.viz.subject import Subject, on_grid
from saccade.viz.view import TraceView, spent
from saccade.wording import counted


class Allocation(Drawing):
    """Three panels; below them how much of the importance stands on the tokens that were kept."""

    asks: ClassVar[bool] = True

    def __call__(self, subject: Subject) -> Figure:
        """The figure."""
        view, picture = subject.view, subject.picture
        field = on_grid(subject.scene, subject.mix(subject.scene)[0])
        page = scaled(picture.rgb, *panel_size(picture.width_px, picture.height_px, 3))
        mix = " + ".join(f"{weight:g} {spec['name']}" for weight, spec in subject.mix.parts)
        held = share_kept(view, field)
        note = f"{spent(view)} in {counted(len(view.looks), 'look')}, outlined in one colour per look"
        if held is not None:
            note += f"; {100 * held:.0f} % of the importance"
        shown = [
            Panel(
                "Picture", page, f"{picture.width_px:,} x {picture.height_px:,} px, {counted(view.num_cells, 'token')}"
            ),
            Panel("Importance", heat(page, field), mix, limits(field)),
            Panel(
                "Kept tokens",
                lit(page, view),
                note,
            ),
        ]
        return panels(view.question, "What the tokens were given to", shown, 3)


def share_kept(view: TraceView, field: NDArray[np.float64]) -> float | None:
    """Part of the summed importance (rows, cols) that stands on kept cells; None if there is none at all.

    A coarse token's importance stands at its own cell.
    """
    finite = np.where(np.isfinite(field), field, 0.0).ravel()
    total = float(finite.sum())
    return float(finite[sorted({cell for cell, _ in view.kept})].sum()) / total if total > 0 else None
