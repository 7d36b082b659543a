"""Lays transparent pictures on a background against which they are visible: white, unless that would hide them."""

import numpy as np
from PIL import Image

SHADES = (255, 0, 128)
"""Grey levels of backgrounds, best first: white paper, black for white letters, then grey."""

NEAR = 64
"""A pixel that differs by less than this many grey levels vanishes on a background."""

VANISHES = 0.05
"""Share of the visible pixels that may vanish on a background."""

MARGIN = 0.1
"""If less than this share of a picture is transparent, its background hides nothing."""


def laid(rgba: Image.Image) -> Image.Image:
    """An RGBA picture as RGB, on the first of `SHADES` against which it is visible."""
    shade = background(rgba)
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (shade, shade, shade, 255)), rgba).convert("RGB")


def background(rgba: Image.Image) -> int:
    """The grey level of the background: white, except for pictures that would (nearly) vanish on white."""
    alpha = np.asarray(rgba.getchannel("A"))
    visible = int(alpha.sum(dtype=np.int64))
    if not visible or np.mean(alpha < 128) < MARGIN:
        return SHADES[0]
    grey = np.asarray(rgba.convert("RGB").convert("L"))
    weight = np.bincount(grey.ravel(), weights=alpha.ravel(), minlength=256) / visible
    levels = np.arange(256)
    hidden = [float(weight[np.abs(levels - shade) < NEAR].sum()) for shade in SHADES]
    return next((shade for shade, share in zip(SHADES, hidden, strict=True) if share <= VANISHES), _least(hidden))


def _least(hidden: list[float]) -> int:
    return SHADES[int(np.argmin(hidden))]
