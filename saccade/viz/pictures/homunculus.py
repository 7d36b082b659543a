"""The page as large as it matters: every part stretched by the importance that stands on it."""

from typing import ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import Field

from saccade.viz.biology_maps import homunculi
from saccade.viz.pictures import Drawing
from saccade.viz.subject import Subject, on_grid


class Homunculus(Drawing):
    """The importance as a density of tokens, and the page drawn so that equal areas hold equal importance."""

    asks: ClassVar[bool] = True
    floor: float = Field(0.15, gt=0, description="Added to the importance, which is at most 1: nothing vanishes.")

    def __call__(self, subject: Subject) -> Figure:
        """The figure."""
        field = on_grid(subject.scene, subject.mix(subject.scene)[0])
        density = torch.from_numpy(np.where(np.isfinite(field), field, 0.0) + self.floor).float()
        mix = " + ".join(f"{weight:g} {spec['name']}" for weight, spec in subject.mix.parts)
        return homunculi(subject.picture.rgb, density, f"importance ({mix}) + {self.floor:g}")
