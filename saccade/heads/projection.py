"""From a vision tower's features to the tokens of a language model that was not trained with it."""

from typing import Any

from torch import Tensor, nn


class Projection(nn.Module):
    """Features of one cell, F numbers, to a token of width D: a normalisation and two layers, as in LLaVA."""

    def __init__(self, features: int, width: int, inner: int = 256) -> None:
        super().__init__()
        self.features, self.width, self.inner = features, width, inner
        self.layers = nn.Sequential(
            nn.LayerNorm(features), nn.Linear(features, inner), nn.GELU(), nn.Linear(inner, width)
        )

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of `__init__`, for the module's file."""
        return {"features": self.features, "width": self.width, "inner": self.inner}

    def forward(self, features: Tensor) -> Tensor:
        """Features (..., F) -> tokens (..., D) float32."""
        return self.layers(features.float())  # type: ignore[no-any-return]
