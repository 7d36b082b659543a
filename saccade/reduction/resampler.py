"""Resampler (R6): a fixed number of learned queries read all tokens by attention, and go on in their place.

After the Perceiver (Jaegle et al. 2021, arXiv:2103.03206) and Flamingo's resampler (Alayrac et al. 2022,
arXiv:2204.14198). A query stands where it looks: at the centroid of its attention, floored to a cell.
"""

from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from saccade.errors import ConfigError
from saccade.geometry.rotary import Rotary, angles, frequencies
from saccade.geometry.saved import holds, opened
from saccade.reduction import Reduction
from saccade.types import Encoding


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
        """What `__init__` takes."""
        return {
            "width": self.width,
            "queries": self.num_queries,
            "inner": self.inner,
            "heads": self.heads,
            "depth": self.depth,
        }

    def forward(self, tokens: Tensor, centre_uv: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N, D) tokens at (B, N, 2), of which `present` (B, N) bool are real.

        Returns: (B, K, D); attention (B, K, N) float32 of the last round, mean over heads, each row summing to 1.
        """
        states = layer_norm(tokens.float(), tokens.shape[-1:])
        key, value = self._heads(self.key(states) + self._places(centre_uv)), self._heads(self.value(states))
        latents = self.latents.expand(len(tokens), -1, -1)
        absent = None if present is None else ~present[:, None, None]
        attention = key
        for query, mlp in zip(self.query, self.mlp, strict=True):
            asked = self._heads(query(layer_norm(latents, latents.shape[-1:])))
            logits = asked @ key.transpose(2, 3) / asked.shape[-1] ** 0.5
            attention = (logits if absent is None else logits.masked_fill(absent, float("-inf"))).softmax(-1)
            latents = latents + (attention @ value).transpose(1, 2).flatten(2)
            latents = latents + mlp(latents)
        return self.out(latents).to(tokens.dtype), attention.mean(1)

    def _heads(self, states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)

    def _places(self, centre_uv: Tensor) -> Tensor:
        """(B, N, E): sines and cosines of the place, half of them across and half down."""
        planes = self.inner // 4
        table = Rotary(64 * frequencies(planes, 64.0).repeat(2), torch.arange(2).repeat_interleave(planes))
        angle = angles(table, centre_uv.movedim(-1, 0))
        return torch.cat([angle.sin(), angle.cos()], -1)


class Resampler(Reduction):
    """Trained queries in the place of the tokens, as many whatever the picture's size."""

    weights: Annotated[str, holds(Queries)] = Field(
        description="Folder of a trained resampler (saccade.training.reduction)."
    )

    def active(self, num_layers: int) -> bool:
        return False

    @torch.inference_mode()
    def after(self, encoding: Encoding) -> Encoding:
        module = opened(Queries, self.weights, encoding.tokens.device)
        fitting(module.width, encoding)
        if encoding.deepstack is not None:
            raise ConfigError("a resampler makes new tokens, and DeepStack levels belong to old ones: not for Qwen3-VL")
        if module.num_queries >= len(encoding):
            return encoding
        tokens, seen = (each[0] for each in module(encoding.tokens[None], encoding.grid.centre_uv[None]))
        grid = encoding.grid
        centre = seen @ grid.centre_uv
        spread = (seen @ grid.centre_uv.square() - centre.square()).clamp(min=0).sqrt()
        size = torch.tensor([grid.cols, grid.rows])
        col, row = torch.minimum((centre * size + 1e-4).floor().long(), size - 1).unbind(-1)
        order = torch.argsort(row * grid.cols + col, stable=True)
        place = replace(
            grid,
            centre_uv=centre[order],
            extent_uv=(2 * spread + 1 / size)[order].clamp(max=1),
            level=torch.zeros_like(row),
            row=row[order],
            col=col[order],
            source=_whose(seen[order], grid.source),
        )
        mixed = torch.einsum("kn,nmf->kmf", seen, encoding.features.float()).to(encoding.features.dtype)
        share = seen / seen.sum(0).clamp(min=1e-9)  # of each token, among the queries
        return replace(
            encoding,
            tokens=tokens[order],
            features=mixed[order],
            received=(share @ encoding.received)[order],
            grid=place,
        )


def _whose(seen: Tensor, source: Tensor | None) -> Tensor:
    """(H*W,): the query that looks most at each cell."""
    best = seen.argmax(0)
    return best if source is None else torch.where(source >= 0, best[source.clamp(min=0)], -1)


def fitting(width: int, encoding: Encoding) -> None:
    """Raises ConfigError: trained for tokens of another width."""
    if encoding.tokens.shape[-1] != width:
        raise ConfigError(
            f"this was trained for tokens of width {width}; this model's are {encoding.tokens.shape[-1]} wide. "
            "Train one for this model"
        )
