"""The page under the picture, checked cell by cell against a plain loop."""

from dataclasses import replace

import numpy as np
import pytest

from saccade.viz.pixels import COLOURS, VEIL, VEILED, heat, limits, lit, rgb, scaled
from tests.viz.views import view


def page(height: int = 96, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_kept_cells_keep_their_pixels_and_others_fade() -> None:
    original = page()
    kept = [(0, 5, 6, 23), (9, 10)]
    out = lit(original, view([(0.1, 0.1)] * 2, rows=6, cols=4, kept=kept)).astype(int)
    for cell in range(24):
        row, col = divmod(cell, 4)
        middle = np.s_[row * 16 + 3 : row * 16 + 13, col * 16 + 3 : col * 16 + 13]
        before, after = original[middle].astype(int), out[middle]
        if any(cell in cells for cells in kept):
            assert (before == after).all()
        else:
            grey = np.array(VEIL)
            assert (abs(after - grey) <= 0.4 * abs(before - grey) + 1).all()


def test_every_kept_region_is_outlined_in_its_fixations_colour_only() -> None:
    white = np.full((96, 64, 3), 255, np.uint8)
    out = lit(white, view([(0.1, 0.1)] * 2, rows=6, cols=4, kept=[(5, 6), (9,)])).astype(int)
    first, second = (np.array(rgb(colour)) for colour in COLOURS[:2])

    def nearer(pixel: np.ndarray, to: np.ndarray, than: np.ndarray) -> bool:
        return bool(abs(pixel - to).sum() < abs(pixel - than).sum())

    assert nearer(out[24, 16], first, second)  # left edge of cell 5
    assert nearer(out[31, 24], first, second)  # lower edge of cell 5, against the other fixation's cell 9
    assert nearer(out[32, 24], second, first)  # upper edge of cell 9
    assert (out[24, 31] == 255).all()  # between cells 5 and 6 of one fixation: no line
    assert (out[24, 32] == 255).all()


def test_what_only_a_coarse_token_showed_fades_half_as_far() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    seen = view([(0.1, 0.1)], rows=4, cols=4, kept=[(0, 15)])
    coarse = replace(seen, coarser=((2, 2),), looks=(replace(seen.looks[0], levels=(0, 1)),))
    out = lit(white, coarse).astype(int)
    faded = 255 - out[8::16, 8::16, 0]  # of the middle of each cell
    half, whole = (round(share * (255 - VEIL[0])) for share in (VEILED / 2, VEILED))
    assert faded[0, 0] == 0 and faded[2:, 2:].tolist() == [[half] * 2] * 2
    assert np.delete(faded.ravel(), [0, 10, 11, 14, 15]).tolist() == [whole] * 11


def test_a_cell_kept_twice_belongs_to_the_first_look() -> None:
    white = np.full((32, 32, 3), 255, np.uint8)
    twice = lit(white, view([(0.1, 0.1)] * 2, rows=2, cols=2, kept=[(0,), (0,)]))
    once = lit(white, view([(0.1, 0.1)], rows=2, cols=2, kept=[(0,)]))
    assert (twice == once).all()


def test_everything_kept_in_one_look_leaves_the_page_alone() -> None:
    assert lit(page(), view([(0.5, 0.5)], rows=2, cols=2, kept=[(0, 1, 2, 3)])) is not None
    assert (lit(page(), view([(0.5, 0.5)], rows=2, cols=2, kept=[(0, 1, 2, 3)])) == page()).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 5)])
def test_cells_smaller_than_a_pixel_are_drawn(size: tuple[int, int]) -> None:
    out = lit(page(*size), view([(0.5, 0.5)], rows=20, cols=20, kept=[tuple(range(200))]))
    assert out.shape == (*size, 3)


def test_heat_is_hottest_where_importance_is_highest() -> None:
    white = np.full((40, 60, 3), 255, np.uint8)
    field = np.zeros((4, 6))
    field[1, 2], field[3, 5], field[0, 0] = 1.0, 0.5, -np.inf
    out = heat(white, field).astype(int)

    def redness(row: int, col: int) -> int:
        red, green, blue = out[row * 10 + 5, col * 10 + 5]
        return int(2 * red - green - blue)

    assert redness(1, 2) > redness(3, 5) > redness(2, 2) >= 0
    assert redness(0, 0) == redness(2, 2)
    assert limits(field) == (0.0, 1.0)


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_shows_through_the_heat_on_light_and_dark_pages(ink: int) -> None:
    sheet = np.full((40, 60, 3), 255 - ink, np.uint8)
    sheet[20:24] = ink
    for level in (0.0, 1.0):
        field = np.full((4, 6), level)
        field[0, 0] = 1 - level
        out = heat(sheet, field).astype(int).sum(-1)
        assert out[22, 45] < 0.6 * out[30, 45]


def test_flat_and_broken_importance_do_not_fail() -> None:
    for value in (0.3, np.nan, -np.inf):
        assert np.isfinite(heat(page(), np.full((3, 2), value))).all()


def test_a_few_pixels_are_blown_up_as_blocks() -> None:
    two = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert set(np.unique(scaled(two, 640, 320))) == {0, 255}
