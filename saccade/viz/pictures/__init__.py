"""Pictures: one file per picture; the file's name is what `saccade show --what` takes."""

from abc import abstractmethod
from typing import ClassVar

from matplotlib.figure import Figure

from saccade.registry import Strategy
from saccade.viz.subject import Subject


class Drawing(Strategy):
    """Draws one subject. Its settings are those of the picture, none of them of the look."""

    asks: ClassVar[bool] = False  # whether the picture depends on the question

    @abstractmethod
    def __call__(self, subject: Subject) -> Figure:
        """The figure.

        Raises:
            ConfigError: the subject lacks what this picture shows.
            PictureError: the picture cannot be read.
        """
