"""Learned queries that read all tokens by attention and replace them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from saccade.errors import ConfigError
from saccade.geometry.rotary import angles, axial


class Queries(nn.Module):
    """K learned queries; `depth` rounds of attention to the tokens and to each other's states by an MLP."""

    def __init__(self, width: int, queries: int, inner: int = 64, heads: int = 4, depth: int = 1) -> None:
        super().__init__()
        if inner % heads or inner % 4:
            raise ConfigError(f"inner = {inner} is not a multiple of heads = {heads} and of 4")
        self.width, self.num_queries, self.inner, self.heads, self.depth = width, queries, inner, heads, depth
        self.latents = nn.Parameter(torch.randn(queries, inner))
        self.key, self.value = nn.Linear(width, inner), nn.Linear(width, inner)
        self.query = nn.ModuleList(nn.Linear(inner, inner) for _ in range(depth))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, 2 * inner), nn.GELU(), nn.Linear(2 * inner, inner))
            for _ in range(depth)
        )
        self.out = nn.Linear(inner, width)

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of `__init__`, for the module's file."""
        return {
            "width": self.width,
            "queries": self.num_queries,
            "inner": self.inner,
            "heads": self.heads,
            "depth": self.depth,
        }

    def forward(self, tokens: Tensor, centre_uv: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, D) at `centre_uv` (B, N, 2), of which `present` (B, N) bool are real; None: all.

        Returns: (B, K, D); attention (B, K, N) float32 of the last round, mean over heads, each row summing to 1.
        """
        states = layer_norm(tokens.float(), tokens.shape[-1:])
        key, value = self._heads(self.key(states) + self._places(centre_uv)), self._heads(self.value(states))
        latents = self.latents.expand(len(tokens), -1, -1)
        absent = None if present is None else ~present[:, None, None]
        attention = key
        for query, mlp in zip(self.query, self.mlp, strict=True):
            queries = self._heads(query(layer_norm(latents, latents.shape[-1:])))
            logits = queries @ key.transpose(2, 3) / queries.shape[-1] ** 0.5
            attention = (logits if absent is None else logits.masked_fill(absent, float("-inf"))).softmax(-1)
            latents = latents + (attention @ value).transpose(1, 2).flatten(2)
            latents = latents + mlp(latents)
        return self.out(latents).to(tokens.dtype), attention.mean(1)

    def _heads(self, states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)

    def _places(self, centre_uv: Tensor) -> Tensor:
        """(B, N, E) rotary angles' sines and cosines of the positions, half for x and half for y."""
        angle = angles(axial(self.inner, theta=64.0), 64 * centre_uv.movedim(-1, 0))
        return torch.cat([angle.sin(), angle.cos()], -1)
