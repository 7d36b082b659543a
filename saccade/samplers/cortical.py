"""Cortical sampling: tokens drawn as the visual cortex is allotted, densely at the gaze and thinly far from it."""

import torch
from pydantic import Field
from torch import Tensor

from saccade.geometry.fovea import E0_DEG, PX_PER_DEG, magnification_mm_per_deg, token_eccentricity_deg
from saccade.samplers import Sampler
from saccade.tokens.noise import gaze_keys, gumbel, picture_keys
from saccade.types import Scene


class Cortical(Sampler):
    """Tokens drawn without replacement, each with probability proportional to M(e) = M0 / (e + e0).

    Gumbel top-k (Kool, van Hoof & Welling 2019). Importance decides only where the gaze is. The draw depends on the
    seed, the picture's content and the gaze, not on the place in a batch.
    """

    e0_deg: float = Field(E0_DEG, gt=0, description="Eccentricity at which the density is half of the gaze's.")
    px_per_deg: float = Field(PX_PER_DEG, gt=0, description="Pixels of the encoded image per degree of visual angle.")
    seed: int = Field(0, ge=0, lt=2**63, description="Another seed, another draw.")

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        eccentricity = token_eccentricity_deg(scene.centre_uv, gaze_uv, scene.grids, self.px_per_deg)  # (B, N)
        density = magnification_mm_per_deg(eccentricity, e0_deg=self.e0_deg)
        keys = gaze_keys(picture_keys(scene.pictures, self.seed, scene.valid.device), gaze_uv)
        return torch.log(density) + gumbel(keys, density.shape[1])
