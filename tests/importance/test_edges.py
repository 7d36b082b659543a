"""Edge density on pictures whose edges are known, and against NumPy and SciPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from saccade.geometry.grid import plain_grid
from saccade.importance.edges import Edges
from saccade.picture import Picture
from saccade.types import Scene
from tests.helpers import item

METHODS = ("sobel", "canny", "fft")


def scene_of(pixels: np.ndarray, rows: int = 4, cols: int = 6, width_px: int = 96, height_px: int = 64) -> Scene:
    _, encoding, query = item(rows, cols)
    encoding = replace(encoding, grid=plain_grid(rows, cols, width_px, height_px))
    return Scene.of([(Picture.open(pixels), encoding, query)])


def noise(seed: int = 0) -> np.ndarray:
    grey = np.random.default_rng(seed).integers(0, 256, (64, 96, 1), dtype=np.uint8)
    return np.repeat(grey, 3, axis=2)


@pytest.mark.parametrize("method", METHODS)
def test_only_the_token_with_strokes_scores(method):
    page = np.full((64, 96, 3), 255, np.uint8)
    page[20:28:4, 36:44] = 0  # thin strokes inside row 1, column 2
    scores = Edges(method=method)(scene_of(page))[0]
    assert scores.argmax() == 8
    assert scores[8] == 1 and scores.sort().values[-2] < 0.2


@pytest.mark.parametrize("method", METHODS)
def test_a_blank_page_and_a_tiny_one_score_nothing(method):
    assert Edges(method=method)(scene_of(np.full((64, 96, 3), 200, np.uint8))).sum() == 0
    assert Edges(method=method)(scene_of(np.zeros((1, 1, 3), np.uint8))).sum() == 0


def test_what_is_known_of_a_picture_is_of_its_grid():
    """Two lookups of one picture with as many tokens, which stand elsewhere or are larger."""
    whole = scene_of(noise())
    expected = Edges().raw(whole)[0]
    for index in (torch.tensor([0, 5, 9]), torch.tensor([2, 5, 20])):
        part = replace(whole, grids=(whole.grids[0].some(index),))
        assert torch.equal(Edges().raw(part)[0], expected[index])


def test_sobel_is_scipys():
    grey = noise()[..., 0].astype(float)
    across, down = (ndimage.sobel(grey, axis, mode="mirror") for axis in (1, 0))
    expected = np.hypot(across, down).reshape(4, 16, 6, 16).mean((1, 3)).ravel()
    assert Edges().raw(scene_of(noise()))[0].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_fft_is_numpys():
    wide = np.pad(noise()[..., 0].astype(float), 32, mode="symmetric")
    fy, fx = np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(160), indexing="ij")
    left = np.fft.ifft2(np.fft.fft2(wide) * (np.hypot(fy, fx) > 0.1)).real
    expected = np.abs(left)[32:-32, 32:-32].reshape(4, 16, 6, 16).mean((1, 3)).ravel()
    assert Edges(method="fft").raw(scene_of(noise()))[0].tolist() == pytest.approx(expected.tolist(), rel=1e-3)


def test_fft_ignores_slow_changes():
    x = np.arange(96)
    slow, fast = ((127 + 100 * np.sin(2 * np.pi * x * f)).astype(np.uint8) for f in (0.03, 0.3))
    raw = [Edges(method="fft").raw(scene_of(np.broadcast_to(w[:, None], (64, 96, 3)))).mean() for w in (slow, fast)]
    assert raw[0] < 0.05 * raw[1]


def test_large_pictures_are_reduced_to_what_was_encoded():
    page = np.full((640, 960, 3), 255, np.uint8)
    page[::2] = 0  # lines that the encoder cannot see: grey at 96 x 64 px
    assert Edges()(scene_of(page)).sum() == 0
    assert Edges()(scene_of(page, width_px=960, height_px=640)).shape == (1, 24)
    assert Edges().raw(scene_of(page, width_px=960, height_px=640)).max() == 0  # every other line: no central gradient


def test_upscaled_pictures_keep_their_own_resolution():
    page = np.full((32, 48, 3), 255, np.uint8)
    page[8:16, 16:24] = np.eye(8, dtype=np.uint8)[..., None] * 255
    assert torch.equal(Edges()(scene_of(page)).argmax(), torch.tensor(8))


def test_a_picture_is_filtered_once_however_many_questions_look_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    measure = Edges._map
    monkeypatch.setattr(Edges, "_map", lambda self, p, g: calls.append(self) or measure(self, p, g))
    made = scene_of(noise())
    first = Edges()(made)
    assert torch.equal(Edges()(made), first) and len(calls) == 1
    assert not torch.equal(Edges(method="canny")(made), first) and len(calls) == 2
