"""What the importance is made of: every scorer of the mix beside the mix itself."""

from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from saccade.importance import Mix, Scorer
from saccade.registry import load
from saccade.viz.pictures import Drawing
from saccade.viz.pixels import heat, limits, scaled
from saccade.viz.sheet import Panel, panel_size, panels
from saccade.viz.subject import Subject, on_grid


class Saliency(Drawing):
    """One panel per scorer, each scaled to its own range; below it its weight, and how concentrated it is."""

    asks: ClassVar[bool] = True

    def __call__(self, subject: Subject) -> Figure:
        """The figure."""
        scene, picture, mix = subject.scene, subject.picture, subject.mix
        weighted = parts(mix)
        num_panels = len(weighted) + (2 if len(weighted) > 1 else 1)
        columns = num_panels if num_panels <= 4 else 3 if num_panels <= 6 else 4
        page = scaled(picture.rgb, *panel_size(picture.width_px, picture.height_px, columns))
        shown = [Panel("Picture", page, f"{scene.grids[0].rows} x {scene.grids[0].cols} tokens")]
        for weight, scorer in weighted:
            field = on_grid(scene, scorer(scene)[0])
            note = f"weight {weight:.2f}; {concentration(field)}"
            shown.append(Panel(scorer.name(), heat(page, field), note, limits(field)))
        if len(weighted) > 1:
            field = on_grid(scene, mix(scene)[0])
            shown.append(Panel("together", heat(page, field), concentration(field), limits(field)))
        return panels(scene.queries[0].text, "What makes a token worth looking at", shown, columns)


def parts(mix: Mix) -> list[tuple[float, Scorer]]:
    """Scorers of a mix and their weights, which sum to 1; a scorer that is a mix itself (`preset`) by its own parts."""
    total, weighted = sum(weight for weight, _ in mix.parts), []
    for weight, spec in mix.parts:
        scorer = load("importance", spec, Scorer)
        inner = getattr(scorer, "mix", None)
        some = parts(inner) if isinstance(inner, Mix) else [(1.0, scorer)]
        weighted += [(weight / total * share, part) for share, part in some]
    return weighted


def concentration(field: NDArray[np.float64]) -> str:
    """What part of the sum the highest tenth of the tokens (rows, cols) holds, as a sentence."""
    return f"the highest tenth of the tokens holds {100 * top_share(field):.0f} % of the sum"


def top_share(field: NDArray[np.float64], part: float = 0.1) -> float:
    """Sum of the highest `part` of the finite values (rounded up to whole ones) over the sum of all; 0 if that is 0."""
    values = np.sort(field[np.isfinite(field)])[::-1]
    total = float(values.sum())
    return float(values[: int(np.ceil(part * len(values)))].sum()) / total if total > 0 else 0.0
