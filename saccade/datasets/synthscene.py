"""Generated scenes: a small document that lies in front of a few smooth shapes. Simple pictures with answers to read.

The document is one of `synthdoc`'s, half as large as the picture, with its questions; around it are pale opaque discs
of all sizes in front of each other, without texture (a dead-leaves scene of few leaves: Lee, Mumford & Huang 2001).
Beside whole pages they tell what a budget does with simple pictures.

    saccade batch --dataset synthscene --limit 32
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from saccade.datasets.synthdoc import Box, Page, SynthDoc, render

SHARE = 2  # sides of the picture over those of the document
LEAST_PX = 256  # of a document
DARKEST = 215  # shade of a disc, of 255: before darker ones the bundled model, which knows pages only, reads nothing


class SynthScene(SynthDoc):
    """Generated scenes, each with a small document to read."""

    page_px: int = Field(512, ge=512, le=8192, description="Longest side of a picture.")
    questions_per_page: int = Field(2, ge=1, description="At most; a small document holds few.")
    num_leaves: int = Field(12, ge=0, le=1000, description="Discs around the document.")

    def page(self, index: int) -> Page:
        """Picture `index`, drawn again at every call; square."""
        document = render(self.stored_seed, index, max(LEAST_PX, self.page_px // SHARE // 16 * 16))
        draw = np.random.default_rng([self.stored_seed, index, 5])
        height, width = document.image.shape
        side = self.page_px
        left, top = (int(draw.integers(0, side - size + 1)) for size in (width, height))
        image = _leaves(draw, side, self.num_leaves)
        image[top : top + height, left : left + width] = document.image
        move, scale = np.array([left, top, left, top]), np.array([width, height, width, height])
        fields = tuple(
            replace(
                field,
                answer_box=_moved(field.answer_box, move, scale, side),
                key_box=_moved(field.key_box, move, scale, side),
            )
            for field in document.fields
        )
        chars = replace(document.chars, box_px=(document.chars.box_px + move).astype(np.float32))
        return Page(image, document.kind, fields, chars)


def _leaves(draw: np.random.Generator, side_px: int, count: int) -> NDArray[np.uint8]:
    """(side_px, side_px) uint8: discs of random shades, the largest at the back."""
    image = np.full((side_px, side_px), int(draw.integers(DARKEST, 256)), np.uint8)
    for radius in np.sort(draw.uniform(0.03, 0.4, count))[::-1] * side_px:
        centre = draw.integers(0, side_px, 2).tolist()
        cv2.circle(image, centre, int(radius), int(draw.integers(DARKEST, 256)), -1, cv2.LINE_AA)
    return image


def _moved(box_uv: Box, move_px: NDArray[np.int64], size_px: NDArray[np.int64], side_px: int) -> Box:
    """A box of the document, (4,) in its uv, as one of the picture."""
    x0, y0, x1, y1 = ((np.array(box_uv) * size_px + move_px) / side_px).tolist()
    return x0, y0, x1, y1
