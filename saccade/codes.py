"""Codes that a trained codec made of tokens: stored and sent in their place."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Coded:
    """A few numbers a token, and who makes the tokens of them (`saccade.reduction.autoencoder.rebuilt`)."""

    codes: Tensor  # (N, C) float16
    codec: str  # folder of the codec
    dtype: torch.dtype  # of the tokens

    def some(self, index: Tensor) -> Self:
        """Of the tokens (K,) int64."""
        return replace(self, codes=self.codes[index])

    def cpu(self) -> Self:
        """On the CPU."""
        return replace(self, codes=self.codes.cpu())
