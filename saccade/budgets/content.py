"""Content-adaptive level weights: crowded pictures give their tokens to fine levels, plain ones to coarse."""

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from saccade.budgets._levels import LevelBudget, Shares, pick, shares_field
from saccade.geometry.grid import as_encoded
from saccade.picture import Picture
from saccade.types import Grid, Scene

BLOCK_PX = 16


class Content(LevelBudget):
    """`tokens` at every fixation, shared among the levels by how much there is in the picture.

    Complexity in [0, 1) is the mean of x / (x + typical) for three measures x of the picture at its encoded size,
    values in [0, 1]: mean Sobel magnitude of its grey levels (edges), variance of its colours, and mean variance inside
    blocks of 16 x 16 px (texture). A measure at its typical value counts one half, and none can be negative or run
    away, so that plain, medium and crowded pictures all occur; the mean put through a sigmoid never falls below 0.5.
    The typical values are about the medians of generated documents (512 and 1024 px) and scanned receipts.
    """

    plain_below: float = Field(0.4, ge=0, le=1, description="Complexity under which a picture is plain.")
    crowded_above: float = Field(0.6, ge=0, le=1, description="Complexity over which it is crowded.")
    plain: Shares = shares_field((0.5, 1.0, 1.5, 2.0))
    medium: Shares = shares_field((0.8, 1.0, 1.2, 1.5))
    crowded: Shares = shares_field((2.0, 1.5, 1.2, 1.0))
    typical_edges: float = Field(0.2, gt=0, description="Mean Sobel magnitude that counts one half.")
    typical_colour: float = Field(0.018, gt=0, description="Variance of the colours that counts one half.")
    typical_texture: float = Field(0.01, gt=0, description="Mean variance of a block that counts one half.")

    def shares(self, scene: Scene) -> Tensor:
        complexity = self.complexity(scene)
        kind = (complexity >= self.plain_below).long() + (complexity > self.crowded_above).long()  # (B,)
        return pick(kind, (self.plain, self.medium, self.crowded), scene)

    def complexity(self, scene: Scene) -> Tensor:
        """(B,) float32 in [0, 1)."""
        typical = torch.tensor([self.typical_edges, self.typical_colour, self.typical_texture])
        measured = torch.stack([measures(p, g) for p, g in zip(scene.pictures, scene.grids, strict=True)])  # (B, 3)
        return (measured / (measured + typical)).mean(-1).to(scene.valid.device)


def measures(picture: Picture, grid: Grid) -> Tensor:
    """(3,) float32: mean Sobel magnitude, variance of the colours, mean variance of blocks; of values in [0, 1]."""
    rgb = as_encoded(picture.rgb, grid)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    across, down = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    values = rgb.astype(np.float32) / 255
    deviation = values.reshape(-1, 3).std(0)
    rows, cols = (max(1, side // BLOCK_PX) for side in rgb.shape[:2])
    mean, square = (cv2.resize(v, (cols, rows), interpolation=cv2.INTER_AREA) for v in (values, values**2))
    texture = np.maximum(square - mean**2, 0).mean()
    return torch.tensor([cv2.magnitude(across, down).mean(), (deviation**2).mean(), texture], dtype=torch.float32)
