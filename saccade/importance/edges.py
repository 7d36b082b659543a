"""Edge density: where the picture itself has strokes, borders and texture, before any model has seen it."""

import hashlib
from typing import ClassVar, Literal
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.geometry.grid import as_encoded, pool
from saccade.importance import Scorer
from saccade.picture import Picture
from saccade.types import Grid, Need, Scene

MARGIN_PX = 32
"""The picture is mirrored this far beyond its sides before the Fourier transform, which would wrap it around."""
SILENCE = 0.01
"""High-pass response in grey levels (0 to 255) below which there is only rounding."""

Pixels = NDArray[np.float32]

_POOLED: WeakKeyDictionary[Picture, dict[tuple[object, ...], Tensor]] = WeakKeyDictionary()  # gone with the picture


class Edges(Scorer):
    """Mean edge strength of the pixels a token covers, at the resolution the encoder saw.

    Cost: about 20 operations per pixel (sobel), 60 (canny), 10 log2 P for P pixels (fft), once per picture; no model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("pixels",)

    method: Literal["sobel", "canny", "fft"] = Field("sobel", description="Gradient, thin edges, or Fourier high-pass.")
    canny_low: float = Field(50.0, ge=0, le=4096, description="Gradient at which a Canny edge may go on.")
    canny_high: float = Field(150.0, ge=0, le=4096, description="Gradient at which a Canny edge may start.")
    cutoff_cycles_px: float = Field(0.1, gt=0, lt=0.5, description="Fourier: keeps frequencies above it.")

    def raw(self, scene: Scene) -> Tensor:
        maps = [self._pooled(p, g) for p, g in zip(scene.pictures, scene.grids, strict=True)]
        return pad_sequence(maps, batch_first=True).to(scene.valid.device)

    def _pooled(self, picture: Picture, grid: Grid) -> Tensor:
        """(N,) of one picture. Free of the question, so all questions and looks at a picture share it."""
        known = _POOLED.setdefault(picture, {})
        places = (grid.centre_uv, grid.extent_uv, grid.level, *(() if grid.source is None else (grid.source,)))
        seal = hashlib.sha256(b"|".join(each.cpu().numpy().tobytes() for each in places)).digest()
        key = (self, seal, grid.width_px, grid.height_px)
        if key not in known:
            known[key] = pool(self._map(picture, grid), grid)
        return known[key]

    def _map(self, picture: Picture, grid: Grid) -> Pixels:
        """(H, W) float32 edge strength of a picture."""
        grey = np.asarray(cv2.cvtColor(as_encoded(picture.rgb, grid), cv2.COLOR_RGB2GRAY), np.uint8)
        if self.method == "sobel":
            return _sobel(grey)
        if self.method == "canny":
            thin: Pixels = np.divide(cv2.Canny(grey, self.canny_low, self.canny_high), 255, dtype=np.float32)
            return thin
        return _high_pass(grey, self.cutoff_cycles_px)


def _sobel(grey: NDArray[np.uint8]) -> Pixels:
    across, down = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    return np.asarray(cv2.magnitude(across, down), dtype=np.float32)


def _high_pass(grey: NDArray[np.uint8], cutoff: float) -> Pixels:
    """Absolute value of what is left of (H, W) when frequencies up to `cutoff` cycles per pixel are removed."""
    wide = cv2.copyMakeBorder(grey, MARGIN_PX, MARGIN_PX, MARGIN_PX, MARGIN_PX, cv2.BORDER_REFLECT)
    high = torch.hypot(torch.fft.fftfreq(wide.shape[0])[:, None], torch.fft.rfftfreq(wide.shape[1])[None]) > cutoff
    spectrum = torch.fft.rfft2(torch.from_numpy(wide.astype(np.float32))).mul_(high)
    del high  # a large page is 50 MiB in float32: as few of it at once as there need be
    left = torch.fft.irfft2(spectrum, s=wide.shape)
    del spectrum
    inside = left[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX].abs_()
    return np.ascontiguousarray(inside.masked_fill_(inside < SILENCE, 0.0).numpy())
