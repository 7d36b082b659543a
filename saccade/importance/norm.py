"""Feature norm: how strongly the encoder responds."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from saccade.importance import Scorer
from saccade.types import Need, Scene


class Norm(Scorer):
    """Euclidean norm of a token, or of the strongest of its patches before the merger.

    Cost: 2 C FLOPs per token of C values, no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower",)

    at: Literal["before", "after"] = Field("before", description="Before the merger, or after it.")

    def raw(self, scene: Scene) -> Tensor:
        patches = scene.features if self.at == "before" else scene.tokens.unsqueeze(2)
        lengths: Tensor = torch.linalg.vector_norm(patches.float(), dim=-1)  # (B, N, M)
        return lengths.amax(-1)
