"""A codec of tokens: compresses each to a few numbers, and back."""

from typing import Any

import torch
from torch import Tensor, nn


class Codec(nn.Module):
    """Width D to `code` numbers and back: a linear part, which may start at the principal components, and a bend."""

    mean: Tensor

    def __init__(self, width: int, code: int, inner: int = 64) -> None:
        super().__init__()
        self.width, self.code, self.inner = width, code, inner
        self.register_buffer("mean", torch.zeros(width))
        self.down, self.up = nn.Linear(width, code, bias=False), nn.Linear(code, width, bias=False)
        last = nn.Linear(inner, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.bend = nn.Sequential(nn.Linear(code, inner), nn.GELU(), last)

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of `__init__`, for the module's file."""
        return {"width": self.width, "code": self.code, "inner": self.inner}

    @torch.no_grad()
    def start(self, tokens: Tensor) -> None:
        """Sets the linear part to the first `code` principal components of tokens (T, D), the best linear codec."""
        self.mean.copy_(tokens.float().mean(0))
        *_, components = torch.linalg.svd(tokens.float() - self.mean, full_matrices=False)
        self.down.weight.copy_(components[: self.code])
        self.up.weight.copy_(components[: self.code].T)

    def encode(self, tokens: Tensor) -> Tensor:
        """Tokens (..., D) -> codes (..., code)."""
        return self.down(tokens.float() - self.mean)  # type: ignore[no-any-return]

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (..., code) -> tokens (..., D)."""
        return self.up(codes) + self.bend(codes) + self.mean  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (..., D), encoded and decoded."""
        return self.decode(self.encode(tokens))
