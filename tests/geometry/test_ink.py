"""Ink against pages made by hand: a letter, a shade, grain, a photograph."""

import cv2
import numpy as np
import pytest
import torch

from saccade.geometry.ink import ink


def page(level: float = 255.0, grain: float = 0.0, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return level + grain * draw.standard_normal((96, 128))


def cells(pixels: np.ndarray, **settings: float) -> np.ndarray:
    return ink(torch.from_numpy(np.clip(pixels, 0, 255))[None], 16, **settings)[0].numpy()


@pytest.mark.parametrize("level", [255, 200, 120])
@pytest.mark.parametrize("grain", [0, 3, 9])
def test_a_stroke_is_ink_and_paper_is_not(level: float, grain: float) -> None:
    pixels = page(level, grain)
    pixels[36:44, 50:52] -= 90  # in cell (2, 3)
    found = cells(pixels)
    assert found[2, 3]
    assert found.sum() <= 2, "grain is not ink"


def test_light_that_falls_off_is_paper() -> None:
    pixels = page() - np.linspace(0, 80, 128)  # ten grey levels a cell
    assert not cells(pixels).any()


def test_white_on_black_is_ink_too() -> None:
    pixels = page(20)
    pixels[4:12, 4:6] = 230
    assert cells(pixels).tolist()[0][0] and cells(pixels).sum() == 1


def test_a_photograph_is_all_ink() -> None:
    rows, cols = np.mgrid[:96, :128]
    pixels = 128 + 50 * np.sin(rows / 3) + 50 * np.cos(cols / 4) + page(0, 6)
    assert cells(pixels).all()


def test_the_tolerance_is_a_setting() -> None:
    pixels = page()
    pixels[4:12, 4:12] -= 12
    assert not cells(pixels).any() and cells(pixels, tolerance=6.0).sum() == 1


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_grain_is_not_ink_at_any_scale_of_the_scan(factor: float) -> None:
    """Shrinking and enlarging make grain coarser or finer than single pixels."""
    scan = np.clip(page(235, 5, seed=3), 0, 255).astype(np.float32)
    scan[40:46, 20:60] = 60
    size = [16 * round(side * factor / 16) for side in (128, 96)]
    found = cells(cv2.resize(scan, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC))
    rows, cols = np.nonzero(found)
    assert len(rows) and (rows * 16 / factor < 46).all() and (rows * 16 / factor > 40 - 17 / factor).all()
    assert (cols * 16 / factor < 60).all() and (cols * 16 / factor > 20 - 17 / factor).all()


def test_pages_of_a_batch_do_not_mix() -> None:
    clean, grainy = page(240), page(240, 9)
    clean[4:12, 4:6] -= 25
    together = ink(torch.from_numpy(np.stack([clean, grainy])), 16)
    assert together[0].sum() == 1 and not together[1].any()
