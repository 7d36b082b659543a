"""The pixels under a picture of a trace: the page with what was kept, and the importance map. Pure array functions."""

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saccade.viz.view import TraceView

Pixels = NDArray[np.uint8]  # (H, W, 3)

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#444444")
"""One a fixation, then round again: Okabe & Ito (2008), its yellow and black replaced by Tol's wine and a grey."""

VEIL = (128, 134, 143)  # what is not kept fades into this grey: white paper darkens, ink pales
VEILED = 0.68  # how far it fades
OUTLINE = 0.8  # how opaque outlines are
PALETTE = "OrRd"  # Brewer's, safe for colour-blind eyes; light where nothing is, so that the page shows
DEEPEST = 0.8  # of the palette: its darkest reds would hide ink


def rgb(colour: str) -> tuple[int, int, int]:
    """(r, g, b) in 0..255 of "#rrggbb"."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def scaled(pixels: Pixels, width_px: int, height_px: int) -> Pixels:
    """An image in another size: smooth when reduced, blocks when a few pixels are blown up."""
    if pixels.shape[:2] == (height_px, width_px):
        return pixels
    blocky = width_px >= 6 * pixels.shape[1]
    how = Image.Resampling.NEAREST if blocky else Image.Resampling.LANCZOS
    return np.array(Image.fromarray(pixels).resize((width_px, height_px), how))


def cell_map(rows: int, cols: int, width_px: int, height_px: int) -> NDArray[np.int64]:
    """(height_px, width_px) int64: the cell, row * cols + col, that each pixel's centre lies in."""
    row = ((np.arange(height_px) + 0.5) * rows / height_px).astype(np.int64)
    col = ((np.arange(width_px) + 0.5) * cols / width_px).astype(np.int64)
    return row[:, None] * cols + col[None, :]


def lit(page: Pixels, view: TraceView) -> Pixels:
    """The page with kept cells as they are, all others veiled, and each fixation's cells outlined in its colour.

    Cells that were shown by coarse tokens only are veiled half as much.
    """
    if view.plain:
        return page
    height, width = page.shape[:2]
    cells = cell_map(view.rows, view.cols, width, height)
    owned = view.owners().ravel()[cells]  # (H, W), -1: not kept
    veil = veils(view)[cells][..., None]
    out: Pixels = (page * (1 - veil) + np.array(VEIL) * veil).round().astype(np.uint8)
    palette = np.array([rgb(COLOURS[number % len(COLOURS)]) for number in range(max(1, len(view.looks)))])
    edge = outlines(owned, line_px(view, width, height))
    out[edge] = (out[edge] * (1 - OUTLINE) + palette[owned[edge]] * OUTLINE).round().astype(np.uint8)
    return out


def veils(view: TraceView) -> NDArray[np.float64]:
    """(cells,) how far each cell fades: 0 where it was shown at full resolution."""
    veil = np.where(view.owners().ravel() < 0, VEILED, VEILED / 2)
    veil[sorted(view.sharp)] = 0.0
    return veil


def line_px(view: TraceView, width_px: int, height_px: int) -> int:
    """Width of the outlines: about a tenth of a cell, so that its middle stays free; 0 for cells too small."""
    return min(2, int(min(width_px / view.cols, height_px / view.rows) / 10 + 0.5))


def outlines(owned: NDArray[np.int64], width_px: int) -> NDArray[np.bool_]:
    """(H, W) bool: pixels of an owned region within `width_px` of something else. The image's border counts as else."""
    inside = owned >= 0
    if width_px == 0:
        return np.zeros_like(inside)
    padded = np.pad(owned, width_px, constant_values=-2)
    height, width = owned.shape
    edge = np.zeros_like(inside)
    for shift_y in (-width_px, 0, width_px):
        for shift_x in (-width_px, 0, width_px):
            top, left = width_px + shift_y, width_px + shift_x
            edge |= padded[top : top + height, left : left + width] != owned
    return edge & inside


def heat(page: Pixels, importance: NDArray[np.float64]) -> Pixels:
    """The importance (H cells, W cells) in colour, lightest lowest, with the page's ink showing through.

    What is not finite (tokens that may not be chosen again) counts as the lowest.
    """
    height, width = page.shape[:2]
    low, high = limits(importance)
    level = (np.nan_to_num(importance, nan=low, neginf=low, posinf=high) - low) / max(high - low, 1e-12)
    rows, cols = importance.shape
    painted = shade(level).reshape(-1, 3)[cell_map(rows, cols, width, height)]
    light = page @ np.array([0.299, 0.587, 0.114]) / 255  # (H, W)
    if np.median(light) < 0.5:  # light ink on a dark screen
        light = 1 - light
    light = light / max(float(light.max()), 1e-6)
    out: Pixels = (255 * painted * (0.3 + 0.7 * light[..., None])).round().clip(0, 255).astype(np.uint8)
    return out


def shade(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3) colours in [0, 1] of levels (...) in [0, 1]."""
    colours: NDArray[np.float64] = matplotlib.colormaps[PALETTE](DEEPEST * level.clip(0, 1))[..., :3]
    return colours


def limits(importance: NDArray[np.float64]) -> tuple[float, float]:
    """The lowest and highest finite importance; (0, 0) if none is."""
    finite = importance[np.isfinite(importance)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
