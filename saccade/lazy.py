"""An encoding made only where it is looked at: first the whole page coarsely, then windows of it on demand.

Until a token is encoded, the coarse token that covers it stands in for it: planners and scorers can use it, samplers
may not choose it.
"""

import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from saccade.engines import Encoder
from saccade.geometry.grid import coarse_on, in_boxes
from saccade.geometry.neighbours import covering
from saccade.picture import Picture
from saccade.types import Encoding, Gaze, Scene

if TYPE_CHECKING:
    from saccade.families import Prepared

PLANNING_TOK = 273
"""Of the coarse encoding that looks are planned on where no glimpse opens the canvas; a quarter of a small page's."""


class Lazy:
    """One picture, encoded window by window. A resource of the process that encodes.

    Questions of one image share what was encoded for any of them.
    """

    def __init__(self, windows: Any, encodings: list[Encoding]) -> None:
        self.windows, self.encodings = windows, encodings  # what stands in for the whole, and the glimpse if any
        self.encoding = stand_in = encodings[0]  # in its present state
        self.encoded = torch.zeros(len(stand_in), dtype=torch.bool)
        self._unbilled_patches, self._unbilled_s = 0, 0.0

    @classmethod
    def start(cls, encoder: Encoder, picture: Picture, full: "Prepared", glimpse: int) -> "Lazy":
        """Encodes the coarse view only: `glimpse` tokens, which then open the canvas, or `PLANNING_TOK`.

        Raises:
            ConfigError: this engine, or its vision tower, does not encode window by window.
        """
        windows = encoder.windows(full)
        coarse_tok = glimpse or min(PLANNING_TOK, max(1, len(full.grid) // 4))
        (coarse,) = encoder.encode([encoder.prepare(picture, coarse_tok)])
        under = covering(coarse_on(coarse.grid, full.grid), full.grid)
        stand_in = Encoding(
            tokens=coarse.tokens[under],
            features=coarse.features[under],
            received=coarse.received[under] * (len(coarse) / len(full.grid)),
            grid=full.grid,
            picture_hash=full.picture_hash,
            fingerprint=f"{coarse.fingerprint}-lazy",
            num_patches=0 if glimpse else coarse.num_patches,
        )
        return cls(windows, [stand_in, *([coarse] if glimpse else [])])

    def look(self, scene: Scene, gaze: Gaze) -> tuple[Scene, float]:
        """The picture's scene after encoding the windows that the gaze's square touches, and the seconds that took.

        Only tokens that are encoded by now are valid in it.
        """
        started, before = time.perf_counter(), self.windows.num_patches
        self._encode(in_boxes(self.encoding.grid, [box_of(gaze)]))
        seconds = time.perf_counter() - started
        self._unbilled_patches += self.windows.num_patches - before
        self._unbilled_s += seconds
        encoding = self.encoding
        tokens, features, received = (
            each.unsqueeze(0) for each in (encoding.tokens, encoding.features, encoding.received)
        )
        valid = scene.valid & self.encoded
        return replace(scene, tokens=tokens, features=features, received=received, valid=valid), seconds

    def _encode(self, wanted: Tensor) -> None:
        """Puts real tokens in the place of stand-ins.

        The fingerprint holds the windows in the order of their making: in blocks without windows a token knows those
        before it, so that the same cell need not give the same token twice.
        """
        index, tokens, features, received = (each.cpu() for each in self.windows.encode(wanted))
        if len(index) == 0:
            return
        before = self.encoding
        seal = hashlib.sha256(before.fingerprint.encode() + index.numpy().tobytes()).hexdigest()[:16]
        self.encoding = replace(
            before,
            tokens=before.tokens.index_copy(0, index, tokens),
            features=before.features.index_copy(0, index, features),
            received=before.received.index_copy(0, index, received),
            fingerprint=f"{before.fingerprint.partition('-lazy')[0]}-lazy-{seal}",
        )
        self.encoded = self.encoded.index_fill(0, index, True)

    def bill(self, patches: int, seconds: float) -> tuple[int, float]:
        """These patches and seconds, and those of all windows since the last bill."""
        due = patches + self._unbilled_patches, seconds + self._unbilled_s
        self._unbilled_patches, self._unbilled_s = 0, 0.0
        return due


def box_of(gaze: Gaze) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of the square of `extent_uv` around a gaze."""
    (x, y), half = gaze.uv, gaze.extent_uv / 2
    return x - half, y - half, x + half, y + half
