"""Where a page would be cut finely: adaptive patching, large on plain paper and small on print."""

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from pydantic import Field

from saccade.geometry.quadtree import SIZES_PX, THRESHOLDS, Patches, adaptive_patches
from saccade.viz.pictures import Drawing
from saccade.viz.pixels import COLOURS, Pixels, scaled
from saccade.viz.sheet import Panel, panel_size, panels
from saccade.viz.subject import Subject


class PatchSizes(Drawing):
    """The page with the outlines of its patches of 32, 16 and 8 px, and how many there are beside those of one size."""

    thresholds: tuple[float, float] = Field(
        THRESHOLDS, description="Complexity from which a patch of 32 px, and one of 16 px, is split in four."
    )

    def __call__(self, subject: Subject) -> Figure:
        """The figure."""
        page = subject.picture.rgb
        images = torch.from_numpy(page.copy()).permute(2, 0, 1)[None].float() / 255
        patches = adaptive_patches(images, self.thresholds)
        counts = {size: int((patches.size_px == size).sum()) for size in SIZES_PX}
        even = patches.height_px * patches.width_px // SIZES_PX[-1] ** 2
        size = panel_size(page.shape[1], page.shape[0], 1)
        told = ", ".join(f"{count:,} of {size_px} px" for size_px, count in counts.items())
        note = f"{told}: {len(patches.size_px):,} instead of {even:,} of {SIZES_PX[-1]} px"
        shown = [Panel("Patches", _outlined(page, patches, size), note)]
        return panels("Adaptive patches", "A patch is split in four where what it shows is complex", shown, 1)


def _outlined(page: Pixels, patches: Patches, size: tuple[int, int]) -> Pixels:
    """The page (H, W, 3) in the size of a panel, each patch outlined in the colour of its size."""
    image = Image.fromarray(scaled(page, *size))
    draw, factor = ImageDraw.Draw(image), size[0] / page.shape[1]
    places = (each.tolist() for each in (patches.left_px, patches.top_px, patches.size_px))
    for left, top, side in zip(*places, strict=True):
        corners = [round(edge * factor) for edge in (left, top, left + side, top + side)]
        draw.rectangle(corners, outline=COLOURS[SIZES_PX.index(side)])
    return np.array(image)
