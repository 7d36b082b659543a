"""How complex a picture is: edge density, entropy of its grey levels, variance of its saliency. No model needed."""

import cv2
import numpy as np
from numpy.typing import NDArray

TERMS = ("edges", "entropy", "saliency")
MOST_PX = 1024
"""A larger picture is reduced to this longer side first: its terms then compare with those of others."""
CANNY = (50, 150)
SALIENCY_PX = 64
CENTRE_PX, SURROUND_PX = 1.0, 8.0  # of a saliency map


def terms(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(3,) of a picture (H, W, 3): share of Canny edge pixels, bits of the grey histogram, variance of saliency.

    Saliency is the difference of two Gaussians of the grey picture at 64 x 64, in [0, 1] (centre and surround: Itti,
    Koch & Niebur 1998, its intensity channel).
    """
    height, width = rgb.shape[:2]
    scale = MOST_PX / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    edges = float((cv2.Canny(grey, *CANNY) > 0).mean())
    share = np.bincount(grey.ravel(), minlength=256) / grey.size
    entropy = float(-(share[share > 0] * np.log2(share[share > 0])).sum())
    small = cv2.resize(grey, (SALIENCY_PX, SALIENCY_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    centre, surround = (cv2.GaussianBlur(small, (0, 0), sigma) for sigma in (CENTRE_PX, SURROUND_PX))
    return np.array([edges, entropy, float(np.abs(centre - surround).var())])


def quantile(value: float, table: NDArray[np.float64]) -> float:
    """In [0, 1]: the share of reference values below one, by a rising table of their quantiles at equal steps.

    A value that several quantiles equal gets the middle of them.
    """
    low, high = np.searchsorted(table, value, "left"), np.searchsorted(table, value, "right")
    if high > low:
        return float((low + high - 1) / 2 / (len(table) - 1))
    if low in (0, len(table)):
        return float(low > 0)
    below, above = table[low - 1], table[low]
    return float((low - 1 + (value - below) / (above - below)) / (len(table) - 1))
