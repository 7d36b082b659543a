"""What a picture is drawn of: a look at an image, a stored run, an experiment. Each part is made when first asked for.

The commands hand one to a drawing of `saccade/viz/pictures/`, which takes the parts it needs: pixels alone, the tokens
of the encoding, where it looked, or the curves of an experiment. A part that a subject lacks raises an error.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from saccade.config import Episode
from saccade.errors import ConfigError
from saccade.geometry.grid import on_canvas
from saccade.importance import Mix
from saccade.picture import Picture
from saccade.types import Scene
from saccade.viz.curves import Curve
from saccade.viz.view import TraceView


class Subject:
    """Nothing yet: subclasses give the parts they have. `settings` are those it was looked at with."""

    has = "nothing"  # in messages
    instead = ""  # what can be drawn of it, where a part is missing
    boxes_uv: Sequence[tuple[float, float, float, float]] = ()  # where the answer stands
    live = False  # the encoding is at hand: pictures may show importance at no cost

    def __init__(self, settings: Episode) -> None:
        self.settings = settings

    @property
    def mix(self) -> Mix:
        """The scorers it looks with."""
        return self.settings.strategies.score

    @property
    def picture(self) -> Picture:
        """The pixels."""
        raise self._lacks("pixels")

    @property
    def view(self) -> TraceView:
        """Where it looked and what it read."""
        raise self._lacks("trace")

    @property
    def scene(self) -> Scene:
        """The encoded picture and the question, as a batch of one."""
        raise self._lacks("tokens")

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Accuracy against tokens."""
        raise self._lacks("scores")

    def _lacks(self, part: str) -> ConfigError:
        return ConfigError(f"this picture needs {part}, and {self.has} holds none{self.instead}")


def on_grid(scene: Scene, values: Tensor) -> NDArray[np.float64]:
    """(rows, cols) of one value per token (N,) of a scene of one picture; -inf where no token stands."""
    grid = scene.grids[0]
    return on_canvas(grid, values.detach().double().cpu()).reshape(grid.rows, grid.cols).numpy()
