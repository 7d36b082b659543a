"""The picture by scale: levels of its Gaussian pyramid, and the band of detail between each and the next.

Burt & Adelson (1983). A level is the one before it, blurred and halved; a band of the Laplacian pyramid is a level less
the next one doubled. Bands and the last level together are the picture.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from pydantic import Field
from torch import Tensor

from saccade.geometry.pyramid import bands, gaussian, laplacian
from saccade.viz.pictures import Drawing
from saccade.viz.pixels import Pixels, scaled
from saccade.viz.sheet import Panel, panel_size, panels
from saccade.viz.subject import Subject

LEAST_PX = 8  # the shorter side of the last level
LUMA = (0.299, 0.587, 0.114)  # brightness of red, green and blue


class Pyramid(Drawing):
    """Above: the levels, each as large as the picture. Below: the bands, grey where there is no detail.

    Below a band stand the octave that is nominally its own, the frequency that holds most of it as measured (the filter
    is soft: lines of print show in every band at their pitch), both in cycles per pixel of the picture, and the RMS
    contrast of its brightness.
    """

    levels: int = Field(4, ge=2, le=6, description="Levels, fewer for a small picture.")

    def __call__(self, subject: Subject) -> Figure:
        """The figure."""
        picture = subject.picture
        fit = max(1, int(np.log2(max(1, min(picture.width_px, picture.height_px) / LEAST_PX))) + 1)
        pixels = torch.from_numpy(picture.rgb.astype(np.float32)).permute(2, 0, 1).unsqueeze(0)
        levels = gaussian(pixels, min(self.levels, fit))
        details = laplacian(levels)
        size = panel_size(picture.width_px, picture.height_px, len(levels))
        weights = torch.tensor(LUMA).view(1, 3, 1, 1)
        held = bands([(detail * weights).sum(1, keepdim=True) for detail in details])
        above, below = [], []
        for number, (level, detail) in enumerate(zip(levels, details, strict=True)):
            high, wide = level.shape[-2:]
            note = "the picture" if number == 0 else f"1/{2**number} of the width, 1/{4**number} of the pixels"
            above.append(Panel(f"Level {number}: {wide} x {high} px", _shown(level, size), note))
            contrast = f"RMS contrast {float(held.energy[0, number]) ** 0.5:.1f} of 255"
            if number == len(details) - 1:
                note = f"nominally below {0.5 / 2**number:.3g} cycles/px; {contrast}"
                below.append(Panel("What is left", _shown(level, size), note))
                continue
            gain = 110 / max(1.0, float(np.percentile(detail.abs().numpy(), 99.5)))
            band = f"nominally {0.25 / 2**number:.3g} to {0.5 / 2**number:.3g} cycles/px"
            peak = f"strongest at {float(held.peak_cycles_px[0, number]):.3f}"
            note = f"{band}, {peak}; {contrast}, shown x {gain:.1f}"
            below.append(Panel(f"Band {number}", _shown(128 + gain * detail, size), note))
        facts = "Above: levels of the Gaussian pyramid. Below: the detail that each loses to the next; "
        return panels("The picture by scale", facts + "together they are the picture", [*above, *below], len(levels))


def _shown(level: Tensor, size: tuple[int, int]) -> Pixels:
    """A level (1, 3, h, w) as pixels of a panel; its own pixels are to be seen where it is enlarged."""
    pixels: Pixels = level[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()
    if pixels.shape[1] >= size[0]:
        return scaled(pixels, *size)
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))
