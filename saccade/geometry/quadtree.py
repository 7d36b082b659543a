"""Adaptive patching: large patches where a picture is plain, small ones where not (a quadtree of 32/16/8 px).

After Ronen et al. 2023 (arXiv:2304.00287, mixed-resolution tokens). A patch is split when its complexity reaches its
level's threshold; or, with `whole`, all of a picture's patches have the one size that the picture's complexity asks
for. Every patch comes with as many pixels as the smallest has, larger ones averaged, so that one embedding takes all.

Shapes: B pictures of C channels and H x W px, T patches of all of them, S sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from saccade.types import Grid

SIZES_PX = (32, 16, 8)
THRESHOLDS = (0.3, 0.7)  # from which complexity on a patch of 32 px, and one of 16 px, is split


@dataclass(frozen=True, slots=True)
class Patches:
    """Patches of a batch, in order of picture, then top, then left."""

    pixels: Tensor  # (T, C, p, p) float32, p the smallest size
    image: Tensor  # (T,) int64
    size_px: Tensor  # (T,) int64
    top_px: Tensor  # (T,) int64
    left_px: Tensor  # (T,) int64
    height_px: int  # of the pictures, filled up to whole patches of the largest size
    width_px: int

    def grid(self, image: int) -> Grid:
        """Where one picture's patches lie on the canvas of its smallest cells; level 0 is the smallest size.

        A patch stands at the floor of its centre; `Grid.source` says which cells it covers.
        """
        cell = self.pixels.shape[-1]
        rows, cols = self.height_px // cell, self.width_px // cell
        mine = self.image == image
        size, top, left = self.size_px[mine], self.top_px[mine], self.left_px[mine]
        whole = torch.tensor([self.width_px, self.height_px], device=size.device)
        centre = (torch.stack([left, top], -1) + size[:, None] / 2) / whole
        row, col = (top + size // 2) // cell, (left + size // 2) // cell
        extent = size[:, None] / whole
        return Grid(
            centre.float(),
            extent.float(),
            (size // cell).float().log2().long(),
            row,
            col,
            rows,
            cols,
            self.width_px,
            self.height_px,
            self._source(top // cell, left // cell, size // cell, rows, cols),
        )

    def _source(self, row: Tensor, col: Tensor, side: Tensor, rows: int, cols: int) -> Tensor:
        """(rows * cols,): the patch over each cell, by marking corners and summing up twice (an integral image)."""
        mark = torch.zeros(rows + 1, cols + 1, dtype=torch.int64, device=row.device)
        number = torch.arange(1, len(row) + 1, device=row.device)
        for down, right, sign in ((0, 0, 1), (1, 0, -1), (0, 1, -1), (1, 1, 1)):
            mark.index_put_((row + down * side, col + right * side), sign * number, accumulate=True)
        return (mark.cumsum(0).cumsum(1)[:rows, :cols] - 1).flatten()


def complexity(images: Tensor, size_px: int) -> Tensor:
    """(B, H / size, W / size) float32 in [0, 1]: twice the standard deviation of each patch's brightness.

    Values are in [0, 1]: it is 0 for a plain patch, 1 for one half black and half white.
    """
    bright = images.float().mean(1, keepdim=True)
    mean, square = avg_pool2d(bright, size_px), avg_pool2d(bright.square(), size_px)
    return 2 * (square - mean.square()).clamp(min=0).sqrt().squeeze(1).clamp(max=0.5)


def adaptive_patches(
    images: Tensor,
    thresholds: Sequence[float] = THRESHOLDS,
    sizes_px: Sequence[int] = SIZES_PX,
    whole: bool = False,
) -> Patches:
    """Cuts pictures (B, C, H, W), values in [0, 1], into patches of S sizes, each half the one before.

    `thresholds` (S - 1): the complexity from which a patch of each size but the last is split in four. Above 1: never;
    0: always, which is plain patching. With `whole`, the mean complexity of a picture's largest patches decides for all
    of them. Sides that are no multiple of the largest size are filled up with the picture's border.

    Raises:
        ValueError: sizes that do not halve, or not one threshold less than sizes.
    """
    if len(thresholds) + 1 != len(sizes_px) or any(a != 2 * b for a, b in zip(sizes_px, sizes_px[1:], strict=False)):
        raise ValueError(f"sizes {tuple(sizes_px)} must halve, a threshold between two; got {tuple(thresholds)}")
    height, width = (-(-side // sizes_px[0]) * sizes_px[0] for side in images.shape[2:])
    images = pad(images.float(), (0, width - images.shape[3], 0, height - images.shape[2]), mode="replicate")
    simple = complexity(images, sizes_px[0]).mean((1, 2))[:, None, None]  # (B, 1, 1)
    here = torch.ones(len(images), height // sizes_px[0], width // sizes_px[0], dtype=torch.bool, device=images.device)
    sizes, places = [], []
    for size, threshold in zip(sizes_px, [*thresholds, 2.0], strict=True):  # what reaches the last size stays
        busy = (simple if whole else complexity(images, size)) >= threshold
        sizes.append(size)
        places.append((here & ~busy).nonzero().unbind(-1))  # picture, row and column of the patches that stay
        here = (here & busy).repeat_interleave(2, 1).repeat_interleave(2, 2)
    cell = sizes_px[-1]
    patches = list(zip(sizes, places, strict=True))
    pixels = torch.cat([_tiles(images, size, cell)[place] for size, place in patches])
    image = torch.cat([place[0] for place in places])
    top, left = (torch.cat([place[axis] * size for size, place in patches]) for axis in (1, 2))
    size_px = torch.cat([torch.full_like(place[0], size) for size, place in patches])
    order = torch.argsort((image * height + top) * width + left)
    return Patches(pixels[order], image[order], size_px[order], top[order], left[order], height, width)


def plain_blocks(page: Tensor, rows: int, cols: int, plain: float) -> tuple[Tensor, Tensor]:
    """Top left cells (K,) int64, increasing, and sides (K,) int64 in cells of blocks that cover a grid of cells once.

    Of a page (C, H, W) in [0, 1] whose H / rows x W / cols cells are square: blocks of 4 x 4 and 2 x 2 cells whose
    complexity is below `plain` (at most 0.5; 0: none) stay one; all others, and those that reach beyond the page, are
    single cells.
    """
    cell, beyond = page.shape[-1] // cols, [-rows % 4, -cols % 4]
    filled = pad(page, (0, beyond[1] * cell, 0, beyond[0] * cell))
    stripes = torch.arange(filled.shape[-1]) % 2  # complexity 0.5 and more in any block that holds some: it is split
    filled[:, page.shape[1] :], filled[:, :, page.shape[2] :] = stripes, stripes[page.shape[2] :]
    found = adaptive_patches(filled[None], (plain, plain), (4 * cell, 2 * cell, cell))
    top, left, side = (each // cell for each in (found.top_px, found.left_px, found.size_px))
    on_page = (top < rows) & (left < cols)
    first, order = (top * cols + left)[on_page].sort()
    return first, side[on_page][order]


def block_grid(grid: Grid, first: Tensor, side: Tensor) -> Grid:
    """Where blocks of a plain grid stand, as from `plain_blocks`: each at the floor of its centre, level log2(side)."""
    size = torch.tensor([grid.cols, grid.rows], dtype=torch.float32)
    corner = torch.stack([first % grid.cols, first // grid.cols], -1)  # x, y
    at = corner + side[:, None] // 2
    extent = side[:, None] / size
    centre = (corner + side[:, None] / 2) / size
    level = side.float().log2().long()
    return replace(grid, centre_uv=centre, extent_uv=extent, level=level, row=at[:, 1], col=at[:, 0])


def _tiles(images: Tensor, size: int, cell: int) -> Tensor:
    """(B, H / size, W / size, C, cell, cell): all patches of one size, averaged down to cell x cell px."""
    small = avg_pool2d(images, size // cell)
    images_, channels, height, width = small.shape
    tiles = small.view(images_, channels, height // cell, cell, width // cell, cell)
    return tiles.permute(0, 2, 4, 1, 3, 5)
