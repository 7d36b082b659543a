"""Adaptive patching against a quadtree written as a recursion, and counts worked by hand."""

import pytest
import torch
from torch import Tensor

from saccade.geometry.quadtree import adaptive_patches, complexity


def quadtree(image: Tensor, top: int, left: int, sizes: list[int], limits: list[float]) -> list[tuple[int, int, int]]:
    """(top, left, size) of the patches of one picture under one square."""
    size = sizes[0]
    patch = image[:, top : top + size, left : left + size].double().mean(0)
    if len(sizes) == 1 or 2 * float(patch.std(correction=0)) < limits[0]:
        return [(top, left, size)]
    half = size // 2
    return [
        leaf
        for down in (0, half)
        for right in (0, half)
        for leaf in quadtree(image, top + down, left + right, sizes[1:], limits[1:])
    ]


def scenes() -> Tensor:
    """Three pictures of 96 x 128 px: noise of growing strength to the right; a corner of print; plain."""
    make = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, 96, 128, generator=make) - 0.5
    first = 0.5 + noise * torch.linspace(0, 1, 128)
    second = torch.ones(1, 3, 96, 128)
    second[..., :20, 40:90] = (torch.rand(1, 1, 20, 50, generator=make) > 0.5).float()
    return torch.cat([first, second, torch.full((1, 3, 96, 128), 0.3)])


@pytest.mark.parametrize("limits", [[0.3, 0.7], [0.1, 0.2], [0.05, 0.4]])
def test_equals_the_recursion(limits: list[float]) -> None:
    images = scenes()
    found = adaptive_patches(images, limits)
    sizes_seen = set(found.size_px.tolist())
    for number, image in enumerate(images):
        expected = [
            leaf
            for top in range(0, 96, 32)
            for left in range(0, 128, 32)
            for leaf in quadtree(image, top, left, [32, 16, 8], limits)
        ]
        mine = found.image == number
        rows = zip(*(column[mine].tolist() for column in (found.top_px, found.left_px, found.size_px)), strict=True)
        assert list(rows) == sorted(expected)
        for pixels, (top, left, size) in zip(found.pixels[mine], sorted(expected), strict=True):
            step = size // 8
            patch = image[:, top : top + size, left : left + size].reshape(3, 8, step, 8, step).mean((2, 4))
            torch.testing.assert_close(pixels, patch)
    assert len(sizes_seen) > 1


def test_complexity_by_hand() -> None:
    images = torch.zeros(1, 1, 8, 24)
    images[..., 8:12] = 1.0  # half of the middle patch
    images[..., 16:18] = 1.0  # a quarter of the last: sqrt(1/4 * 3/4) * 2
    assert complexity(images, 8)[0, 0].tolist() == pytest.approx([0.0, 1.0, 3**0.5 / 2])


def test_one_size_a_picture() -> None:
    """224 px are 49, 196 or 784 patches, as the picture's complexity is below 0.3, below 0.7, or not."""
    plain = torch.full((1, 3, 224, 224), 0.5)
    checks = (torch.arange(224)[:, None] // 4 + torch.arange(224) // 4) % 2 * torch.ones(1, 3, 224, 224)
    images = torch.cat([plain, 0.5 + (checks - 0.5) * 0.5, checks])  # complexities 0, 0.5, 1
    found = adaptive_patches(images, whole=True)
    assert torch.bincount(found.image).tolist() == [49, 196, 784]
    assert [set(found.size_px[found.image == number].tolist()) for number in range(3)] == [{32}, {16}, {8}]


def test_always_and_never_split() -> None:
    images = scenes()
    plain = adaptive_patches(images, (0.0, 0.0))
    assert torch.bincount(plain.image).tolist() == [192, 192, 192]
    tiles = images[0].reshape(3, 12, 8, 16, 8).permute(1, 3, 0, 2, 4).flatten(0, 1)
    assert torch.equal(plain.pixels[:192], tiles), "plain patching"
    assert torch.bincount(adaptive_patches(images, (1.1, 1.1)).image).tolist() == [12, 12, 12]


def test_the_grid_covers_every_cell_once() -> None:
    images = scenes()[..., :90, :100]  # filled up to 96 x 128
    found = adaptive_patches(images, (0.1, 0.3))
    assert (found.height_px, found.width_px) == (96, 128)
    for number in range(3):
        grid = found.grid(number)
        mine = found.image == number
        assert (grid.rows, grid.cols) == (12, 16) and len(grid) == int(mine.sum())
        expected = torch.full((12, 16), -1)
        for token, (top, left, size) in enumerate(
            zip(*(column[mine].tolist() for column in (found.top_px, found.left_px, found.size_px)), strict=True)
        ):
            block = expected[top // 8 : (top + size) // 8, left // 8 : (left + size) // 8]
            assert (block == -1).all(), "two patches on one cell"
            block[:] = token
        assert grid.source is not None and torch.equal(grid.source.view(12, 16), expected)
        stands = torch.tensor([expected[row, col] for row, col in zip(grid.row, grid.col, strict=True)])
        assert torch.equal(stands, torch.arange(len(grid))), "each stands on a cell of its own"
        assert float(grid.extent_uv.prod(-1).sum()) == pytest.approx(1.0)
        assert set(grid.level.tolist()) <= {0, 1, 2}
        assert torch.equal(grid.level, (found.size_px[mine] // 16).clamp(max=2))


def test_sizes_that_do_not_halve() -> None:
    with pytest.raises(ValueError, match="must halve"):
        adaptive_patches(scenes(), (0.3,), (32, 8))
    with pytest.raises(ValueError, match="must halve"):
        adaptive_patches(scenes(), (0.3,))
