"""Feature norm (I5): how strongly the encoder responds."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from saccade.importance import Scorer
from saccade.types import Scene


class Norm(Scorer):
    """Euclidean norm of a token, or of the strongest of its patches before the merger."""

    space: Literal["features", "tokens"] = Field("features", description="Before the merger, or after it.")

    def raw(self, scene: Scene) -> Tensor:
        if self.space == "tokens":
            return scene.tokens.float().square().sum(-1).sqrt()
        return scene.features.float().square().sum(-1).sqrt().amax(-1)  # (B, N, M) over patches
