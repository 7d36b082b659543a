"""Transparency: white is the paper, unless what is written is white."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from saccade.decoding.alpha import background
from saccade.picture import Picture
from tests.broken_images import encoded


def written(*colours: str, size: tuple[int, int] = (200, 100)) -> Image.Image:
    """Letters of these colours, nothing behind them."""
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    for number, colour in enumerate(colours):
        ImageDraw.Draw(image).text((10, 10 + 40 * number), "Total 42.50", fill=colour, font_size=24)
    return image


@pytest.mark.parametrize(
    ("colours", "shade"),
    [(("black",), 255), (("red", "navy"), 255), (("white",), 0), (("#eeeeee", "red"), 0), (("white", "black"), 128)],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_letters_of_every_colour_can_be_seen(colours: tuple[str, ...], shade: int, kind: str) -> None:
    image = written(*colours)
    assert background(image) == shade
    rgb = Picture.open(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))).rgb
    assert abs(int(rgb[0, 0, 0]) - shade) < 3
    for top in range(0, 40 * len(colours), 40):
        assert np.ptp(rgb[top + 10 : top + 40].max(-1).astype(int)) > 90 or np.ptp(rgb[top + 10 : top + 40, :, 1]) > 90


@pytest.mark.parametrize("mode", ["LA", "P", "PA"])
def test_other_modes_with_transparency(mode: str) -> None:
    image = written("white").quantize(8) if mode == "P" else written("white").convert("LA")
    rgb = Picture.open(encoded(image, "PNG")).rgb
    assert rgb.min() < 10 and rgb.max() > 245


def test_an_opaque_picture_with_soft_corners_stays_on_white() -> None:
    image = Image.new("RGBA", (100, 100), (250, 250, 250, 255))
    ImageDraw.Draw(image).text((10, 10), "Total", fill="black", font_size=24)
    for corner in ((0, 0), (99, 0), (0, 99), (99, 99)):
        image.putpixel(corner, (0, 0, 0, 0))
    assert background(image) == 255


def test_nothing_visible_is_a_white_page() -> None:
    assert Picture.open(encoded(Image.new("RGBA", (9, 9), (0, 0, 0, 0)))).rgb.min() == 255
