"""How large the print is: the letters that were measured, and the page as small as its smallest print allows."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from pydantic import Field

from saccade.geometry.print_size import legible_scale, print_boxes, x_height
from saccade.picture import resized
from saccade.viz.pictures import Drawing
from saccade.viz.pixels import COLOURS, Pixels, scaled
from saccade.viz.sheet import Panel, panel_size, panels
from saccade.viz.subject import Subject

SMALLEST, LARGER = COLOURS[1], COLOURS[0]
NEAR = 1.2  # times the smallest print that are drawn as such


class PrintSize(Drawing):
    """Left: the letters, the smallest print in orange, larger print in blue. Right: the page shrunk to `print_px`."""

    print_px: float = Field(8.0, gt=0, description="x-height of the smallest print that the page is shrunk to.")

    def __call__(self, subject: Subject) -> Figure:
        """The figure."""
        picture = subject.picture
        page = picture.rgb
        boxes = print_boxes(page)
        height_px = x_height(boxes)
        size = panel_size(picture.width_px, picture.height_px, 2)
        scale = legible_scale(height_px, self.print_px)
        small = resized(page, *(max(1, round(side * scale)) for side in page.shape[1::-1]))
        smallest = "no print that can be measured" if height_px is None else f"smallest print {height_px:.1f} px high"
        shown = [
            Panel("Letters", _outlined(page, boxes, height_px, size), f"{len(boxes):,} letters; {smallest} (x-height)"),
            Panel(
                f"Its smallest print {self.print_px:g} px high" if scale < 1 else "Not shrunk",
                np.array(Image.fromarray(small).resize(size, Image.Resampling.NEAREST)),
                f"{small.shape[1]:,} x {small.shape[0]:,} px instead of {page.shape[1]:,} x {page.shape[0]:,}: "
                f"{100 * scale**2:.0f} % of the pixels, and of the tokens",
            ),
        ]
        return panels("How large the print is", "Letters are set apart from the paper and have a like one beside them",
                      shown, 2)  # fmt: skip


def _outlined(page: Pixels, boxes: np.ndarray, height_px: float | None, size: tuple[int, int]) -> Pixels:
    """The page (H, W, 3) in the size of a panel, each box (K, 4) of its letters outlined."""
    image = Image.fromarray(scaled(page, *size))
    draw, factor = ImageDraw.Draw(image), np.array(size)[[0, 1, 0, 1]] / np.array(page.shape)[[1, 0, 1, 0]]
    for left, top, width, height in boxes.tolist():
        corners = np.array([left, top, left + width, top + height]) * factor
        small = height_px is not None and height <= NEAR * height_px
        draw.rectangle(corners.round().astype(int).tolist(), outline=SMALLEST if small else LARGER)
    return np.array(image)
