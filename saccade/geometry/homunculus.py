"""The homunculus: a picture redrawn so that each place takes the area that its density says.

The page is pulled apart along the inverse of its cumulative density: first the rows by how much density each holds,
then the columns within each row (the Rosenblatt transform, 1952). A region with a quarter of the density fills a
quarter of the drawing, exactly. With `straight` the columns are the same in every row: upright lines stay upright, and
the area is that of the product of the two marginal densities.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def homunculus(images: Tensor, density: Tensor, straight: bool = False) -> Tensor:
    """(B, C, H, W) float images and densities (B, h, w) >= 0, not all zero -> (B, C, H, W).

    A constant density leaves the picture as it was. A place without any density vanishes: add a floor to what must
    stay to be seen.
    """
    height, width = images.shape[-2:]
    table = homunculus_places(density, height, width, straight).to(images)
    return F.grid_sample(images, table, padding_mode="border", align_corners=False)


def homunculus_places(density: Tensor, height: int, width: int, straight: bool = False) -> Tensor:
    """(B, h, w) densities -> (B, height, width, 2): what each place of the drawing shows, in grid_sample's units."""
    mass = density.double()
    rows, cell = _inverse(mass.sum(2), height)  # (B, H): where in the picture each drawn row lies, in [0, 1]
    if straight:
        columns = _inverse(mass.sum(1), width)[0][:, None].expand(-1, height, -1)  # (B, H, W)
    else:
        within = mass.gather(1, cell[..., None].expand(-1, -1, mass.shape[2]))  # (B, H, w), constant within a cell
        columns = _inverse(within.flatten(0, 1), width)[0].view(len(mass), height, width)
    return torch.stack([columns * 2 - 1, rows[..., None].expand_as(columns) * 2 - 1], dim=-1).float()


def _inverse(mass: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """(M, n) mass of n equal cells of [0, 1] -> (M, num): where the cumulative mass is (k + 0.5)/num, in which cell."""
    cumulative = F.pad(mass.cumsum(-1), (1, 0))
    cumulative = cumulative / cumulative[:, -1:]
    wanted = ((torch.arange(num, dtype=mass.dtype, device=mass.device) + 0.5) / num).expand(len(mass), -1)
    after = torch.searchsorted(cumulative, wanted.contiguous()).clamp(1, mass.shape[-1])
    low, high = cumulative.gather(-1, after - 1), cumulative.gather(-1, after)  # low < wanted <= high: no empty cell
    return (after - 1 + (wanted - low) / (high - low)) / mass.shape[-1], after - 1
