"""Puts transparent pictures on a background that the visible part stands out from: white, unless that would hide it."""

import numpy as np
from PIL import Image

SHADES = (255, 0, 128)
"""Backgrounds, best first: paper, then the dark that white letters were made for, then between the two."""

NEAR = 64
"""Grey levels within which something vanishes on a background."""

VANISHES = 0.05
"""Share of what is visible that may vanish on a background."""

MARGIN = 0.1
"""Where less than this share of a picture is transparent its background hides nothing."""


def laid(rgba: Image.Image) -> Image.Image:
    """An RGBA picture as RGB, on the first of `SHADES` on which it can be seen."""
    shade = background(rgba)
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (shade, shade, shade, 255)), rgba).convert("RGB")


def background(rgba: Image.Image) -> int:
    """Grey level to lay it on: white for all but pictures that would (nearly) vanish on it."""
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
