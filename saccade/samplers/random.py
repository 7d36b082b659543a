"""Random tokens: the floor that every sampler must beat at equal tokens."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from saccade.samplers import Sampler
from saccade.tokens.noise import picture_keys, uniform
from saccade.types import Scene


class Random(Sampler):
    """Tokens drawn uniformly without replacement.

    The draw depends on the seed and the picture's content, not on its place in a batch. A larger `keep` contains a
    smaller one, and a second look draws from what the first left.
    """

    blind: ClassVar[bool] = True

    seed: int = Field(0, ge=0, lt=2**63, description="Another seed, another draw.")

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        keys = picture_keys(scene.pictures, self.seed, scene.valid.device)
        return uniform(keys, scene.valid.shape[1])
