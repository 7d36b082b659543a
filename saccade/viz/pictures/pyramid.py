"""The picture by scale: levels of its Gaussian pyramid, and the band of detail between each and the next (V4).

Burt & Adelson (1983). A level is the one before it, blurred and halved (`cv2.pyrDown`); a band of the Laplacian
pyramid is a level less the next one doubled (`cv2.pyrUp`). Bands and the last level together are the picture.
"""

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from saccade.viz.pictures import Drawing
from saccade.viz.pixels import Pixels, scaled
from saccade.viz.sheet import Panel, panel_size, panels
from saccade.viz.subject import Subject

LEAST_PX = 8  # the shorter side of the last level


class Pyramid(Drawing):
    """Above: the levels, each as large as the picture. Below: the bands, grey where there is no detail."""

    levels: int = Field(4, ge=2, le=6, description="Levels, fewer for a small picture.")

    def __call__(self, subject: Subject) -> Figure:
        """The figure."""
        picture = subject.picture
        fit = max(1, int(np.log2(max(1, min(picture.width_px, picture.height_px) / LEAST_PX))) + 1)
        gaussian, bands = pyramid(picture.rgb.astype(np.float32), min(self.levels, fit))
        size = panel_size(picture.width_px, picture.height_px, len(gaussian))
        above, below = [], []
        for number, (level, band) in enumerate(zip(gaussian, bands, strict=True)):
            high, wide = level.shape[:2]
            note = "the picture" if number == 0 else f"1/{2**number} of the width, 1/{4**number} of the pixels"
            above.append(Panel(f"Level {number}: {wide} x {high} px", _shown(level, size), note))
            rms = float(np.sqrt(np.mean((band - band.mean(axis=(0, 1))) ** 2)))
            if number == len(bands) - 1:
                name, note = f"Below {0.5 / 2**number:.3g} cycles/px", f"what is left: RMS contrast {rms:.1f} of 255"
                below.append(Panel(name, _shown(level, size), note))
                continue
            gain = 110 / max(1.0, float(np.percentile(np.abs(band), 99.5)))
            name = f"About {0.25 / 2**number:.3g} to {0.5 / 2**number:.3g} cycles/px"
            note = f"level {number} less level {number + 1}: RMS contrast {rms:.1f} of 255; shown x {gain:.1f}"
            below.append(Panel(name, _shown(128 + gain * band, size), note))
        facts = "Above: levels of the Gaussian pyramid. Below: the detail that each loses to the next; "
        return panels("The picture by scale", facts + "together they are the picture", [*above, *below], len(gaussian))


Levels = list[NDArray[np.float32]]


def pyramid(pixels: NDArray[np.float32], levels: int) -> tuple[Levels, Levels]:
    """Gaussian levels and Laplacian bands of (H, W, C) float32 pixels, finest first; the last of both is the same."""
    gaussian: Levels = [pixels]
    for _ in range(levels - 1):
        gaussian.append(cv2.pyrDown(gaussian[-1]))
    bands: Levels = [fine - up(coarse, fine) for fine, coarse in zip(gaussian, gaussian[1:], strict=False)]
    return gaussian, [*bands, gaussian[-1]]


def up(coarse: NDArray[np.float32], like: NDArray[np.float32]) -> NDArray[np.float32]:
    """A level doubled to the size of the finer one."""
    doubled: NDArray[np.float32] = cv2.pyrUp(coarse, dstsize=(like.shape[1], like.shape[0]))
    return doubled


def _shown(level: NDArray[np.float32], size: tuple[int, int]) -> Pixels:
    pixels = level.round().clip(0, 255).astype(np.uint8)
    if pixels.shape[1] >= size[0]:
        return scaled(pixels, *size)
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))  # its pixels are to be seen
