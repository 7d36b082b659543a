"""The pyramid's report: counts and statistics by hand, contributions by leaving levels out; memory level by level."""

import weakref

import numpy as np
import pytest
import torch
from torch import Tensor

from saccade.analysis.memory import peak_bytes
from saccade.analysis.pyramid import pyramid_report
from saccade.geometry.grid import plain_grid
from saccade.geometry.pyramid import bands, gaussian, laplacian, progressive
from tests.helpers import importance_of
from tests.levels import pyramid_item


def test_the_numbers_of_every_level() -> None:
    grid, importance = pyramid_item(8, 6, levels=3)[1].grid, importance_of(48 + 12 + 4)[0]  # 6 / 4 rounds to 2
    kept = torch.zeros(64, dtype=torch.bool)
    kept[[0, 5, 9, 50, 63]] = True
    report = pyramid_report(grid, importance, kept)
    assert [(one.rows, one.cols, one.tokens, one.selected) for one in report.levels] == [
        (8, 6, 48, 3),
        (4, 3, 12, 1),
        (2, 2, 4, 1),
    ]
    assert [(one.width_px, one.height_px) for one in report.levels] == [(96, 128), (48, 64), (24, 32)]
    for one, part in zip(report.levels, importance.split([48, 12, 4]), strict=True):
        found = (one.saliency_min, one.saliency_mean, one.saliency_max)
        assert found == pytest.approx((float(part.min()), float(part.mean()), float(part.max())))
        assert one.contribution is None
    assert (report.tokens, report.selected) == (64, 5)
    assert "5 of 64 tokens, 12.80 times fewer" in report.text()
    assert "60.0 %" in report.text()


def test_contributions_are_measured_by_leaving_a_level_out() -> None:
    """A value that saturates: two levels each hold the answer, so neither is missed; the third holds nothing."""
    grid = pyramid_item(4, 4, levels=3)[1].grid  # 16 + 4 + 1
    kept = torch.zeros(21, dtype=torch.bool)
    kept[[3, 17]] = True
    asked: list[list[int]] = []

    def value(some: Tensor) -> float:
        asked.append(some.nonzero().flatten().tolist())
        return float(some[3] or some[17])

    report = pyramid_report(grid, torch.ones(21), kept, value=value)
    assert report.value == 1
    assert [(one.alone, one.contribution) for one in report.levels] == [(1, 0), (1, 0), (0, 0)]
    assert asked == [[3, 17], [3], [17], [17], [3]]
    alone = kept.clone()
    alone[17] = False
    assert [one.contribution for one in pyramid_report(grid, torch.ones(21), alone, value=value).levels] == [1, 0, 0]
    assert "contribution" in report.text()


def test_bands_of_the_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    grid = pyramid_item(4, 6, levels=3)[1].grid
    report = pyramid_report(grid, torch.zeros(len(grid)), torch.ones(len(grid), dtype=torch.bool), pixels=pixels)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    expected = bands(laplacian(gaussian(image, 3)))
    assert [one.energy for one in report.levels] == pytest.approx(expected.energy[0].tolist())
    assert [one.peak_cycles_px for one in report.levels] == pytest.approx(expected.peak_cycles_px[0].tolist())


def test_one_level_is_a_pyramid_too() -> None:
    grid = plain_grid(3, 3, 48, 48)
    report = pyramid_report(grid, torch.zeros(9), torch.zeros(9, dtype=torch.bool))
    assert len(report.levels) == 1
    assert "0 of 9 tokens" in report.text()


def test_peak_bytes_counts_what_is_alive_at_once() -> None:
    assert 8_000_000 <= peak_bytes(lambda: torch.zeros(1000, 1000) + 1) < 8_001_000
    assert 4_000_000 <= peak_bytes(lambda: [torch.zeros(1000, 1000).sum() for _ in range(3)]) < 4_001_000


QUOTA = [64, 32, 16, 8]


def encode(pixels: Tensor, level: int) -> Tensor:
    """Patches of 16 x 16 px, each written twice: tokens of 1,536 values, in one allocation."""
    patches = pixels.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5)
    return patches.unsqueeze(3).expand(-1, -1, -1, 2, -1, -1, -1).reshape(1, -1, 1536)


def test_level_by_level_needs_less_memory_than_all_at_once() -> None:
    pixels = torch.rand(1, 3, 512, 512)

    def at_once() -> Tensor:
        every = [encode(level, number) for number, level in enumerate(gaussian(pixels, 4))]
        scores = [tokens.var(-1) for tokens in every]
        return torch.cat([t[:, s[0].topk(keep).indices] for t, s, keep in zip(every, scores, QUOTA, strict=True)], 1)

    one = peak_bytes(lambda: progressive(pixels, QUOTA, encode, lambda tokens: tokens.var(-1)))
    every = peak_bytes(at_once)
    coarser = sum(pixels[0].numel() * 4 / 4**level for level in (1, 2, 3))
    assert one < every - coarser  # at least the coarser levels' pixels; in fact their tokens as well
    assert one < 0.75 * every


def test_earlier_levels_are_let_go() -> None:
    made: list[weakref.ref[Tensor]] = []

    def watched(pixels: Tensor, level: int) -> Tensor:
        assert all(ref() is None for ref in made), f"level {level} starts with earlier tokens in memory"
        tokens = encode(pixels, level)
        made.append(weakref.ref(tokens))
        return tokens

    progressive(torch.rand(1, 3, 128, 128), QUOTA, watched, lambda tokens: tokens.var(-1))
    assert len(made) == 4
