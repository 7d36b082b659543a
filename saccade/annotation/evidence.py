"""Where on the page an answer was read: one box, from what its last look stored.

Where the engine gives its attention while it wrote (`attended`), the box covers the cells around the most attended one.
Otherwise it covers what the last look kept: the cells joined to the one nearest its gaze, or, for a view, which looks
nowhere in particular, all of them. A coarse token stands for all cells that it covers.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from saccade.geometry.grid import covered

Box = tuple[float, float, float, float]

ATTENDED_SHARE = 0.25
"""Of the most attended cell's share: cells with less are no part of the box."""


def box_uv(row: Mapping[str, Any]) -> Box | None:
    """The box (x0, y0, x1, y1) in uv of one stored row of answers; None: it looked at nothing."""
    looks, grid = row["fixations"] or (), row["grid"]
    if not looks or not grid:
        return None
    rows, cols = grid["rows"], grid["cols"]
    if attended := row.get("attended"):
        most = max(attended, key=lambda each: (each["share"], -each["cell"]))
        cells = [each["cell"] for each in attended if each["share"] >= ATTENDED_SHARE * most["share"]]
        finest = _finest(looks)
        cells = covers([(cell, finest.get(cell, 0)) for cell in cells], grid)
        return _box(_joined(cells, most["cell"], rows, cols), rows, cols)
    last = next((look for look in reversed(looks) if look["kept"]), None)
    if last is None:
        return None
    kept = covers(_levelled(last), grid)
    if str(last["reason"]).startswith(("view:", "blind:")):
        return _box(kept, rows, cols)
    at = np.array([last["gaze_y"] * rows - 0.5, last["gaze_x"] * cols - 0.5])
    places = np.stack(np.divmod(np.asarray(kept), cols), 1)
    nearest = kept[int(((places - at) ** 2).sum(1).argmin())]
    return _box(_joined(kept, nearest, rows, cols), rows, cols)


def box_px(row: Mapping[str, Any], width_px: int, height_px: int) -> tuple[int, int, int, int] | None:
    """The box in pixels of the image as displayed, x1 and y1 outside it, cut at the image's border; never empty."""
    if (box := box_uv(row)) is None:
        return None
    x0, y0, x1, y1 = box
    left, top = int(x0 * width_px), int(y0 * height_px)
    right, bottom = min(width_px, round(x1 * width_px)), min(height_px, round(y1 * height_px))
    return left, top, max(right, left + 1), max(bottom, top + 1)  # a cell may be smaller than a pixel


def covers(tokens: Iterable[tuple[int, int]], grid: Mapping[str, Any]) -> list[int]:
    """The cells that tokens (cell, level) cover, each once; of a row's `grid`, which says how large a level's are."""
    sizes, found = grid.get("levels") or (), dict[int, None]()
    for cell, level in tokens:
        if level:
            size = sizes[level - 1]
            found |= dict.fromkeys(covered(cell, grid["rows"], grid["cols"], size["rows"], size["cols"]))
        else:
            found[cell] = None
    return list(found)


def _levelled(look: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The cell and the level of each token that a look kept."""
    return list(zip(look["kept"], look.get("levels") or [0] * len(look["kept"]), strict=True))


def _finest(looks: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """The finest level of the tokens that stand at each cell that looks kept."""
    finest: dict[int, int] = {}
    for cell, level in (token for look in looks for token in _levelled(look)):
        finest[cell] = min(level, finest.get(cell, level))
    return finest


def _joined(cells: Sequence[int], start: int, rows: int, cols: int) -> list[int]:
    """The cells that are joined to `start`: neighbours, diagonal ones among them."""
    mask = np.zeros(rows * cols, np.uint8)
    mask[np.asarray(cells)] = 1
    _, labels = cv2.connectedComponents(mask.reshape(rows, cols), connectivity=8)
    flat = labels.reshape(-1)
    return [cell for cell in cells if flat[cell] == flat[start]]


def _box(cells: Sequence[int], rows: int, cols: int) -> Box:
    row, col = np.divmod(np.asarray(cells), cols)
    return float(col.min() / cols), float(row.min() / rows), float(col.max() + 1) / cols, float(row.max() + 1) / rows
