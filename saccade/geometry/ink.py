"""Which cells of a page hold ink: everything that is not paper, whatever the paper's shade, light and noise.

A cell is blank if its grey values, smoothed over 3 x 3 pixels, stay within a tolerance of each other. The tolerance
follows the page: it grows with what the quietest tenth of its cells span, so that grain is not taken for print, however
coarse the grain is (a scan that was shrunk or enlarged), but not beyond what faint print needs. B pages, H x W pixels,
R x C cells.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from saccade.types import Grid

TOLERANCE = 14.0  # grey levels that a clean, evenly lit cell of paper may span
MOST_GRAIN = 20.0  # grey levels; cells that all span more are texture, not paper
QUIET = 0.1  # share of a page's cells that are taken to be paper


def ink(grey: Tensor, cell_px: int, tolerance: float = TOLERANCE) -> Tensor:
    """(B, H, W) grey levels 0 to 255, H and W multiples of cell_px -> (B, R, C) bool, True where there is ink."""
    pages = grey.float()[:, None]
    smooth = F.avg_pool2d(F.pad(pages, (1, 1, 1, 1), mode="replicate"), 3, 1)
    highest, lowest = F.max_pool2d(smooth, cell_px)[:, 0], -F.max_pool2d(-smooth, cell_px)[:, 0]
    span = highest - lowest
    grain = span.flatten(1).quantile(QUIET, dim=1).clamp(max=MOST_GRAIN)
    return span > (grain + tolerance)[:, None, None]


def ink_cells(rgb: NDArray[np.uint8], grid: Grid, tolerance: float = TOLERANCE) -> Tensor:
    """(K,) int64, increasing: the cells of a plain grid that hold ink of a picture (H, W, 3); of a blank one, one."""
    if rgb.shape[:2] != (grid.height_px, grid.width_px):
        shrinks = rgb.shape[0] > grid.height_px
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        rgb = np.asarray(cv2.resize(rgb, (grid.width_px, grid.height_px), interpolation=how), np.uint8)
    grey = torch.from_numpy(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    kept = ink(grey[None], grid.width_px // grid.cols, tolerance)[0].flatten().nonzero()[:, 0]
    return kept if len(kept) else torch.tensor([len(grid) // 2])
