"""A pyramid of pictures whose down-sampling is trained."""

import hashlib

import numpy as np
import torch
from torch import Tensor, nn

from saccade.geometry.pyramid import mirror, pyr_down


class LearnedPyramid(nn.Module):
    """A pyramid whose down-sampling is trained: the Gaussian one plus a 5 x 5 filter per level, all zeros at first.

    Before training it is `geometry.pyramid.gaussian` to the last bit. Filters mix channels.
    """

    def __init__(self, levels: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.levels, self.channels = levels, channels
        shape = (channels, channels, 5, 5)
        self.change = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for _ in range(levels - 1))

    @property
    def sizes(self) -> dict[str, int]:
        """The arguments of `__init__`, for the module's file."""
        return {"levels": self.levels, "channels": self.channels}

    def forward(self, images: Tensor, last: int | None = None) -> list[Tensor]:
        """Images (B, C, H, W) float32 -> the levels, the image first, each of half the last one's sides, rounded up.

        `last`: index of the coarsest level; None: all levels.
        """
        levels = [images]
        for change in self.change[:last]:
            wide = levels[-1]
            for dim in (-2, -1):
                wide = wide.index_select(dim, mirror(wide.shape[dim], 2, wide.device))
            levels.append(pyr_down(levels[-1]) + nn.functional.conv2d(wide, change, stride=2))
        return levels

    @torch.no_grad()
    def picture(self, rgb: np.ndarray, level: int) -> np.ndarray:
        """Level `level` of one picture (H, W, 3) uint8, as (h, w, 3) uint8."""
        pixels = torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0) / 255
        level_pixels = self(pixels, level)[-1][0].permute(1, 2, 0)
        return np.ascontiguousarray((level_pixels * 255).round().clamp(0, 255).to(torch.uint8).numpy())

    @property
    def fingerprint(self) -> str:
        """A hash of the filters."""
        digest = hashlib.sha256()
        for change in self.change:
            digest.update(change.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]
