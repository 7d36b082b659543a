"""Where it looked: kept tokens, numbered gazes in order, what was read after each."""

from typing import ClassVar

from matplotlib.figure import Figure

from saccade.viz.pictures import Drawing
from saccade.viz.subject import Subject, on_grid
from saccade.viz.trace import draw


class Scanpath(Drawing):
    """The picture of `saccade ask --trace`; with the importance where the encoding is at hand."""

    asks: ClassVar[bool] = True

    def __call__(self, subject: Subject) -> Figure:
        """The figure."""
        importance = on_grid(subject.scene, subject.mix(subject.scene)[0]) if subject.live else None
        return draw(subject.view, subject.picture, importance, subject.boxes_uv)
