"""Token fusion: similar tokens are pruned in early blocks and merged in late ones, with means that keep the norm.

Kim et al. 2024, arXiv:2312.01026: early blocks bend what they are given, so that the mean of two tokens is no token,
while late ones are nearly linear. Between the two lies one gate per block: what the token that goes counts in the mean,
0 = pruned, 1 = merged in full. `saccade train gates` learns them.
"""

from typing import ClassVar, Self

from pydantic import Field, model_validator
from torch import Tensor

from saccade.reduction import Reduction, Stage
from saccade.tokens.fusing import fuse
from saccade.tokens.merging import match, slots, strongest


class Fusion(Reduction):
    """In every block, the `r` tokens most like another leave for it; r = 0 is the untouched tower."""

    proportional: ClassVar[bool] = True

    r: int = Field(16, ge=0, description="Tokens that leave per block and image, at most.")
    switch: float = Field(0.5, ge=0, le=1, description="Share of the blocks, the first ones, that prune.")
    gates: tuple[float, ...] | None = Field(
        None, description="Block by block, 0 (prune) to 1 (merge), as trained; None: `switch` says."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(not 0 <= gate <= 1 for gate in self.gates or ()):
            raise ValueError("gates lie between 0 (prune) and 1 (merge)")
        return self

    def active(self, num_layers: int) -> bool:
        return self.r > 0

    def gate(self, layer: int, num_layers: int) -> float | Tensor:
        """What a token that leaves counts in block `layer`, in [0, 1]. Gates for fewer blocks end with their last."""
        if self.gates is None:
            return float(layer >= self.switch * num_layers)
        return self.gates[min(layer, len(self.gates) - 1)] if self.gates else 1.0

    def inside(self, stage: Stage) -> tuple[Tensor, Tensor] | None:
        if self.r == 0:
            return None
        gate = self.gate(stage.layer, stage.num_layers)
        similarity, partner = match(stage.keys.flatten(2), stage.valid, stage.fixed)
        leaving = strongest(similarity, stage.image, self.r)
        source = slots(partner, leaving, stage.valid)
        if isinstance(gate, float | int) and gate == 0:
            return source.masked_fill(leaving, -1), stage.size
        return source, stage.size * (leaving * gate + ~leaving)

    def mean(self, states: Tensor, into: Tensor, weight: Tensor, num: int) -> Tensor:
        return fuse(states, into, weight, num)
