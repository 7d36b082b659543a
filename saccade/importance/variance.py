"""Feature variance: flat paper has flat features, ink does not."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from saccade.importance import Scorer
from saccade.types import Need, Scene


class Variance(Scorer):
    """Variance over the width of a token, or of its most varied patch before the merger.

    Cost: 4 C FLOPs per token of C values, no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower",)

    at: Literal["before", "after"] = Field("before", description="Before the merger, or after it.")

    def raw(self, scene: Scene) -> Tensor:
        if self.at == "after":
            return scene.tokens.float().var(-1, correction=0)
        return scene.features.float().var(-1, correction=0).amax(-1)  # (B, N, M) over patches
