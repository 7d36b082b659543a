"""ToMe: in every block the r most similar pairs of tokens merge (Bolya et al. 2023, arXiv:2210.09461).

Tokens are compared by their attention keys. Every other token may merge into one of the rest; the best r pairs of an
image do, in windowed blocks within their windows only. Where a tower's merger makes one visual token of M patches, it
is these that merge, patch by patch, so that the merger still gets whole blocks: merging single patches would leave it
blocks with holes, and merging after it would save the tower nothing.
"""

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from saccade.reduction import Reduction, Stage
from saccade.tokens.entropy import ROUNDING, WIDTH, token_entropy
from saccade.tokens.merging import match, merge, slots, strongest
from saccade.tokens.sketch import unit_sketch


class ToMe(Reduction):
    """Merges the `r` most similar pairs of tokens in each block; r = 0 is the untouched tower."""

    proportional: ClassVar[bool] = True

    r: int | tuple[int, ...] | None = Field(
        16, description="Tokens merged away per block and image, at most; a list: block by block; None: no limit."
    )
    threshold: float | None = Field(None, ge=-1, le=1, description="Cosine from which keys count as similar.")
    weight: Literal["size", "norm"] = Field("size", description="What counts in the mean: size, or size x importance.")

    floor: float = Field(
        0, ge=0, le=1, description="Share of the token entropy of as many keys unmerged that a block leaves."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.r is None and self.threshold is None:
            raise ValueError("r is None: give a threshold, or every second token merges in every block")
        if any(r < 0 for r in (self.r if isinstance(self.r, tuple) else (self.r or 0,))):
            raise ValueError("r counts tokens: 0 or more")
        return self

    def active(self, num_layers: int) -> bool:
        return any(self._r(layer) != 0 for layer in range(num_layers))

    def inside(self, stage: Stage) -> tuple[Tensor, Tensor] | None:
        r = self._r(stage.layer)
        if r == 0:
            return None
        similarity, partner = match(stage.keys.flatten(2), stage.valid, stage.fixed)
        merged = strongest(similarity, stage.image, r, self.threshold)
        if self.floor:
            merged = self._guarded(stage, similarity, partner, merged)
        weight = stage.size
        if self.weight == "norm":  # a token's importance: how strong its states are
            weight = weight * (stage.states.float().norm(dim=-1).mean(-1) + 1e-6)
        return slots(partner, merged, stage.valid), weight

    def _guarded(self, stage: Stage, similarity: Tensor, partner: Tensor, merged: Tensor) -> Tensor:
        """(G, S) bool: who merges, halved in an image until what merging leaves holds the floor."""
        unit = unit_sketch(stage.keys.flatten(2), WIDTH)
        safe = torch.zeros_like(merged)
        for image in sorted(set(stage.image.tolist())):
            here = stage.image == image
            keys, size, own, merging = unit[here], stage.size[here], stage.valid[here], merged[here]
            while merging.any():
                source = slots(partner[here], merging, own)
                count = source.amax(-1) + 1
                into = (source + (count.cumsum(0) - count)[:, None])[own]
                means = merge(keys[own], into, size[own], int(count.sum()))
                needed = self.floor * float(token_entropy(keys[own & ~merging]))
                if float(token_entropy(means)) >= needed - ROUNDING:
                    break
                left = similarity[here].masked_fill(~merging, float("-inf"))
                merging = strongest(left, torch.zeros_like(count), int(merging.sum()) // 2)
            safe[here] = merging
        return safe

    def _r(self, layer: int) -> int | None:
        """A list that is too short ends with zeros."""
        if not isinstance(self.r, tuple):
            return self.r
        return self.r[layer] if layer < len(self.r) else 0
