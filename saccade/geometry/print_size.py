"""How large the print on a page is, from its pixels alone, so that a page can be shrunk until it is just large enough.

Readers, people and models alike, gain nothing from print above a critical size, and lose below it (Legge and Bigelow
2011): a page of large letters can be read at a fraction of its pixels. A letter is a connected component of a page set
in black and white that has others of its size beside it on the same line, not all of one shape. Of a line of text, the
lower letters decide, so that what is measured is the x-height. Where nothing stands out above them, as "h" does above
"a", they are capitals or digits, and the x-height of such print is lower. Dots, dashes and rules fill their boxes;
pictures and stains stand alone, specks of noise alone or in pairs; the marks of a rule ("*****") are all alike. White
print on black counts where the page is mostly dark.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from saccade.types import Grid

LEAST_PX = 4  # lower components are no letters yet
MOST = 1 / 8  # of the page's height; higher components are no letters any more
AROUND_PX = 31  # what a pixel is compared with
DARKER = 15  # grey levels below its surroundings that make it ink
LIKE = 1.8  # letters beside each other are so many times as high as each other, at most: "p" beside "h"
BESIDE = 2  # letters that one has beside it: specks of noise are alone or in pairs
ALIKE = 0.15  # of its ink, by which a mark of a rule ("*****", ".....") differs from those beside it, and a letter more
LEVEL = 0.2  # of a letter's height, by which its neighbour's foot may be off the line
SMALL = (
    0.07  # share of a page's lines, by their length, that may be smaller than what is taken to be its smallest print
)
SOLID = 0.75  # share of its box that a dot, a dash or a rule fills, and no letter but such as "l" and "1"
WIDE = 1.6  # times as wide as high: a dash of a dashed rule, or letters that touch; few letters are
OUT = 1.2, 1.75  # times as high as the lower letters: what stands out above them in the same print
CAPITALS = 0.15  # share of letters that stand out; where fewer do all are capitals
X_HEIGHT = 0.73  # of a capital's height, in most type
FEWEST = 12  # letters; fewer are no print
LEAST_SCALE = 1 / 4
FEW = 16  # letters of lower print that decide all the same: a line at the foot of the page
COMPARED = 4000  # letters that are looked at, spread over the page; each among all


def print_height_px(rgb: NDArray[np.uint8]) -> float | None:
    """x-height of the smallest print of a picture (H, W, 3), in px; None: there is no print that can be measured.

    Print whose letters are lower than 4 px is not seen; what is larger beside it is then what is measured.
    """
    return x_height(print_boxes(rgb))


def print_boxes(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(K, 4) left, top, width and height, in px, of the letters of a picture (H, W, 3), of those that are looked at."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if np.median(grey) < 128:
        grey = 255 - grey
    boxes, ink = _components(grey)
    return boxes[in_lines(boxes, ink)]


def x_height(boxes: NDArray[np.int32]) -> float | None:
    """The x-height of the smallest print among letters with these boxes (K, 4); None: they are too few to be print.

    It has a number of letters, or a share of all print by its length; what is lower and less counts as dirt. What is
    wide counts only where there are no letters besides: the dashes of a rule stand in a line and are as high as each
    other, like small print.
    """
    narrow = boxes[boxes[:, 2] <= WIDE * boxes[:, 3]]
    boxes = narrow if len(narrow) >= FEWEST else boxes
    if len(boxes) < FEWEST:
        return None
    _, _, width, height = boxes.T
    order = np.argsort(height, kind="stable")
    length = np.cumsum(width[order])
    ranked = height[order]
    low = float(min(ranked[np.searchsorted(length, SMALL * length[-1])], ranked[min(FEW, len(ranked)) - 1]))
    same = height[(height >= low) & (height <= OUT[1] * low)]
    out = np.mean(same > OUT[0] * low + 0.25)  # a quarter: heights are whole pixels
    return low if out >= CAPITALS else X_HEIGHT * low


def in_lines(boxes: NDArray[np.int32], ink: NDArray[np.int32]) -> NDArray[np.int64]:
    """(K,) which of the boxes (n, 4), left, top, width and height, have others beside them on a line, as letters have.

    At least `BESIDE`, of which one differs in its ink (n,), the number of its black pixels. Of more than `COMPARED`
    boxes as many are looked at, at even steps.
    """
    left, top, width, height = boxes.astype(np.float64).T
    right, foot = left + width, top + height
    some = np.arange(0, len(boxes), max(1, -(-len(boxes) // COMPARED)))
    order = np.argsort(foot, kind="stable")  # only those whose feet are that near are compared
    reach = LEVEL * height[some]
    first = np.searchsorted(foot[order], foot[some] - reach, "left")
    count = np.searchsorted(foot[order], foot[some] + reach, "right") - first
    letter = np.repeat(some, count)
    other = order[np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)]
    high, low = np.maximum(height[letter], height[other]), np.minimum(height[letter], height[other])
    gap = np.maximum(left[other] - right[letter], left[letter] - right[other])
    beside = (gap >= -LEVEL * high) & (gap <= high) & (np.abs(foot[letter] - foot[other]) <= LEVEL * low)
    beside &= (high <= LIKE * low) & (letter != other)
    differs = beside & (np.abs(ink[letter] - ink[other]) > ALIKE * np.maximum(ink[letter], ink[other]))
    neighbours, others = (np.bincount(letter[which], minlength=len(boxes)) for which in (beside, differs))
    return np.flatnonzero((neighbours >= BESIDE) & (others > 0))


def _components(grey: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Boxes (n, 4) of what may be letters, or words whose letters touch, on a light page (H, W), and their ink (n,)."""
    how = cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV
    black = cv2.adaptiveThreshold(grey, 255, *how, AROUND_PX, DARKER)
    _, _, stats, _ = cv2.connectedComponentsWithStats(black, connectivity=8, ltype=cv2.CV_32S)
    boxes, area = stats[1:, :4], stats[1:, 4]  # the first is the paper
    width, height = boxes[:, 2], boxes[:, 3]
    letter = (height >= LEAST_PX) & (height <= MOST * len(grey)) & (width <= 12 * height)
    solid = (area > SOLID * width * height) & (height < 2 * width)
    kept = letter & ~solid
    return np.asarray(boxes[kept], np.int32), np.asarray(area[kept], np.int32)


def legible_scale(height_px: float | None, print_px: float) -> float:
    """What both sides of a picture are multiplied by, so that its smallest print, `height_px` high, is `print_px` high.

    Never over 1, and never under a quarter: what is not print has to be seen, too. 1 where there is no print (None).
    """
    return 1.0 if height_px is None else min(1.0, max(LEAST_SCALE, print_px / height_px))


def legible_tok(rgb: NDArray[np.uint8], grid: Grid, print_px: float) -> int | None:
    """Tokens of a picture (H, W, 3) at which its smallest print is `print_px` high; None: as many as its `grid` has.

    The picture may have another size than the grid, which is how large the tower would see it.
    """
    area_px = grid.width_px * grid.height_px
    if rgb.shape[0] * rgb.shape[1] > area_px:
        rgb = np.asarray(cv2.resize(rgb, (grid.width_px, grid.height_px), interpolation=cv2.INTER_AREA), np.uint8)
    enlarged = math.sqrt(area_px / (rgb.shape[0] * rgb.shape[1]))  # by the tower's processor
    scale = legible_scale(print_height_px(rgb), print_px / enlarged)
    return None if scale == 1 else max(1, int(scale**2 * len(grid)))
