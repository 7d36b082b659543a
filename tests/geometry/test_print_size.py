"""The height of print against pages set in a font of known x-height: clean, worn, inverted, beside what is no print."""

import itertools

import cv2
import numpy as np
import pytest
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from saccade.geometry.grid import plain_grid
from saccade.geometry.print_size import (
    ALIKE,
    BESIDE,
    LEAST_SCALE,
    LEVEL,
    LIKE,
    _components,
    in_lines,
    legible_tok,
    print_height_px,
)

FONT = f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf"
TEXT = "the quick brown fox jumps over the lazy dog and all of its old friends"


def font(x_height_px: float) -> ImageFont.FreeTypeFont:
    """A font whose x is so high."""
    tall = ImageFont.truetype(FONT, 1000).getbbox("x")
    return ImageFont.truetype(FONT, round(1000 * x_height_px / (tall[3] - tall[1])))


def page(*lines: tuple[str, float], size: tuple[int, int] = (800, 608)) -> np.ndarray:
    """Lines of text and their x-heights, from the top."""
    image, top = Image.new("L", size, 245), 20.0
    for text, x_height_px in lines:
        ImageDraw.Draw(image).text((20, top), text, fill=30, font=font(x_height_px))
        top += 3 * x_height_px
    return np.repeat(np.asarray(image)[..., None], 3, axis=-1).copy()


@pytest.mark.parametrize("x_height_px", [6, 8, 11, 15, 22])
def test_it_is_the_x_height(x_height_px: float) -> None:
    pixels = page(*[(TEXT, x_height_px)] * 6, size=(1600, 608))
    assert print_height_px(pixels) == pytest.approx(x_height_px, rel=0.1, abs=1)
    assert print_height_px(255 - pixels) == print_height_px(pixels), "white on black"


def test_it_follows_the_scale_of_the_page() -> None:
    pixels = page(*[(TEXT, 20)] * 5, size=(1600, 608))
    half = np.asarray(Image.fromarray(pixels).resize((800, 304), Image.Resampling.BICUBIC))
    assert print_height_px(half) == pytest.approx(10, abs=1)


def test_small_print_counts_and_a_few_words_of_it_do_not() -> None:
    mixed = page(*[(TEXT, 16)] * 5, *[(TEXT, 8)] * 3, size=(1200, 608))
    assert print_height_px(mixed) == pytest.approx(8, abs=1)
    once = page(*[(TEXT, 16)] * 9, ("no fly", 8), size=(1200, 608))
    assert print_height_px(once) == pytest.approx(16, abs=2)
    foot = page(*[(TEXT[:30], 30)] * 5, ("the number of this bill is 48213", 10), size=(1600, 608))
    assert print_height_px(foot) == pytest.approx(10, abs=1), "one line at the foot of large print"


def test_a_page_full_of_noise_is_measured_in_no_time() -> None:
    """Each component is compared with its line alone: against all of them it would be gigabytes."""
    noise = np.random.default_rng(5).integers(0, 256, (1500, 1500, 1)).astype(np.uint8)
    grey = cv2.GaussianBlur(noise, (0, 0), 1.2)
    assert len(_components(grey)[0]) > 5000
    print_height_px(np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize("text", ["COMMON SENSE IS NEVER SO", "1234567890 0987654321", TEXT[:24]])
def test_capitals_and_digits_alone_are_print_of_a_lower_x_height(text: str) -> None:
    assert print_height_px(page(*[(text, 12)] * 6)) == pytest.approx(12, abs=1.5)


def test_specks_rules_and_grain_are_no_print() -> None:
    pixels = page(*[(TEXT, 12)] * 6, size=(1000, 608)).astype(np.float64)
    draw = np.random.default_rng(1)
    for y, x in draw.integers(0, 600, (150, 2)):
        pixels[y : y + 5, x : x + 5] = 40
    pixels[300:304] = 0
    for left in range(20, 900, 12):
        pixels[330:334, left : left + 8] = 30  # a dashed rule
    pixels += 6 * draw.standard_normal(pixels.shape)
    assert print_height_px(pixels.clip(0, 255).astype(np.uint8)) == pytest.approx(12, abs=1.5)


def test_worn_dashes_stand_in_a_line_like_small_print_and_are_none() -> None:
    """On a till roll most rules are dashes; ragged ones neither fill their boxes nor are they alike."""
    pixels, draw = page(*[(TEXT, 12)] * 6, size=(1000, 608)), np.random.default_rng(4)
    for top, left in itertools.product((300, 340, 380), range(20, 900, 16)):
        wide = int(draw.integers(4, 8))
        pixels[top : top + 3, left : left + wide] = 60
        pixels[top + 2 : top + 5, left + wide - 2 : left + 2 * wide - 2] = 60
    assert print_height_px(pixels) == pytest.approx(12, abs=1.5)


@pytest.mark.parametrize("mark", ["*", "+", "#", "* ", "~", '"'])
def test_marks_that_are_all_alike_are_a_rule(mark: str) -> None:
    pixels = page(*[(TEXT, 18), (mark * 40, 18)] * 4, size=(1200, 608))
    assert print_height_px(pixels) == pytest.approx(18, abs=1)


def test_specks_of_noise_stand_alone_or_in_pairs() -> None:
    """Coarse noise over a page of large print: some specks are as large as letters, and beside another by chance."""
    pixels = page(*[(TEXT, 18)] * 9, size=(1600, 900)).astype(np.float64)
    noise = cv2.GaussianBlur(np.random.default_rng(2).standard_normal(pixels.shape[:2]), (0, 0), 1.0)
    noisy = (pixels + 60 * (noise * 3.5)[..., None] * 0.2 * (noise < -0.5)[..., None]).clip(0, 255).astype(np.uint8)
    boxes, _ = _components(cv2.cvtColor(noisy, cv2.COLOR_RGB2GRAY))
    assert (boxes[:, 3] < 8).sum() > 100, "there are such specks"
    assert print_height_px(noisy) == pytest.approx(18, abs=1.5)


def test_where_there_is_no_print_nothing_is_measured() -> None:
    draw = np.random.default_rng(2)
    rows, cols = np.mgrid[:480, :640]
    waves = 128 + 50 * np.sin(rows / 31) + 50 * np.cos(cols / 47) + 3 * draw.standard_normal((480, 640))
    for pixels in (np.full((480, 640), 250.0), waves, np.full((1, 1), 9.0)):
        assert print_height_px(np.repeat(pixels[..., None], 3, axis=-1).astype(np.uint8)) is None


def test_letters_are_those_with_like_ones_of_other_shapes_beside_them() -> None:
    """Against every pair, one after the other."""
    draw = np.random.default_rng(3)
    left, top = draw.integers(0, 200, 300), draw.integers(0, 8, 300) * 20 + draw.integers(-2, 3, 300)
    boxes = np.stack([left, top, draw.integers(2, 30, 300), draw.integers(4, 18, 300)], 1).astype(np.int32)
    ink = draw.integers(40, 60, 300).astype(np.int32)
    beside: dict[int, list[bool]] = {number: [] for number in range(300)}  # whether each of those beside it differs
    for (i, a), (j, b) in itertools.permutations(enumerate(boxes.tolist()), 2):
        high, low = max(a[3], b[3]), min(a[3], b[3])
        gap = max(b[0] - (a[0] + a[2]), a[0] - (b[0] + b[2]))
        level = abs((a[1] + a[3]) - (b[1] + b[3])) <= LEVEL * low
        if -LEVEL * high <= gap <= high and level and high <= LIKE * low:
            beside[i].append(bool(abs(ink[i] - ink[j]) > ALIKE * max(ink[i], ink[j])))
    wanted = [number for number, differs in beside.items() if len(differs) >= BESIDE and any(differs)]
    assert 20 < len(wanted) < 280
    assert any(len(differs) >= BESIDE and not any(differs) for differs in beside.values())
    assert in_lines(boxes, ink).tolist() == wanted
    assert len(in_lines(boxes[:0], ink[:0])) == 0


@pytest.mark.parametrize("print_px", [6.0, 8.0, 12.0])
def test_a_page_of_so_many_tokens_has_print_of_that_height(print_px: float) -> None:
    pixels = page(*[(TEXT, 20)] * 9, size=(1600, 640))
    tokens = legible_tok(pixels, plain_grid(40, 100, 1600, 640), print_px)
    assert tokens is not None
    scale = (tokens / 4000) ** 0.5
    small = np.asarray(Image.fromarray(pixels).resize((round(1600 * scale), round(640 * scale))))
    assert print_height_px(small) == pytest.approx(print_px, abs=1)


def test_no_page_is_enlarged_and_none_shrunk_to_nothing() -> None:
    grid = plain_grid(38, 50, 800, 608)
    assert legible_tok(page(*[(TEXT[:40], 8)] * 6), grid, 9.0) is None
    assert legible_tok(np.full((608, 800, 3), 255, np.uint8), grid, 6.0) is None
    poster = page(*[("POSTER SALE", 40)] * 4)
    assert legible_tok(poster, grid, 1.0) == int(LEAST_SCALE**2 * 38 * 50)


def test_the_height_is_that_of_the_print_as_the_tower_has_it() -> None:
    """A scan of twice the size that the tower takes, and one of half."""
    pixels, grid = page(*[(TEXT, 20)] * 9, size=(1600, 640)), plain_grid(40, 100, 1600, 640)
    wanted = legible_tok(pixels, grid, 8.0)
    for factor in (0.5, 2):
        scan = np.asarray(Image.fromarray(pixels).resize((round(1600 * factor), round(640 * factor))))
        assert legible_tok(scan, grid, 8.0) == pytest.approx(wanted, rel=0.25)  # heights are whole pixels
