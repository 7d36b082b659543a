"""Importance: what each token is worth looking at. One file a scorer; the file's name is the scorer's name."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from saccade.errors import ConfigError
from saccade.geometry.tokens import normalise
from saccade.registry import Strategy, load
from saccade.types import Scene

GROUP_TOK = 4096
"""Tokens of the images that are scored together: more at once is no faster on a CPU, and needs memory."""


class Scorer(Strategy):
    """Scene batch -> (B, N) float32 in [0, 1], 0 at padding. The highest valid token of an image scores 1."""

    needs_attention: ClassVar[bool] = False
    """Whether it reads `Scene.attention`, for which the language model reads the glimpse before the first look."""

    @abstractmethod
    def raw(self, scene: Scene) -> Tensor:
        """(B, N) float of any scale, higher = more worth looking at."""

    def __call__(self, scene: Scene) -> Tensor:
        """(B, N) float32 in [0, 1]."""
        num_images, num_tok = scene.present.shape
        group = max(1, GROUP_TOK // max(1, num_tok))
        if num_images <= group:
            return normalise(self.raw(scene), scene.present)
        groups = [self.raw(scene.some(slice(at, at + group))) for at in range(0, num_images, group)]
        return normalise(torch.cat(groups), scene.present)


class Mix(Strategy):
    """A weighted sum of scorers, weights normalised to 1: `query:0.7,edges:0.3`."""

    parts: tuple[tuple[float, dict[str, Any]], ...] = Field(min_length=1)

    @classmethod
    def parse(cls, text: str | Sequence[Any]) -> "Mix":
        """From `name[:weight],...`, or from a list of `{"name": ..., "weight": ..., settings}`.

        Raises:
            ConfigError: a weight is not a positive number, or a scorer is unknown.
        """
        entries = [entry.strip() for entry in text.split(",")] if isinstance(text, str) else list(text)
        parts: list[tuple[float, dict[str, Any]]] = []
        for entry in entries:
            if isinstance(entry, str):
                name, _, number = entry.partition(":")
                settings: dict[str, Any] = {"name": name}
            else:
                settings = dict(entry)
                number = str(settings.pop("weight", ""))
            try:
                weight = float(number or 1)
            except ValueError:
                weight = -1.0
            if not 0 < weight < float("inf"):
                raise ConfigError(
                    f"scorer {entry!r}: the weight must be a positive number, as in 'query:0.7,edges:0.3'"
                )
            parts.append((weight, load("importance", settings, Scorer).spec()))
        return cls(parts=tuple(parts))

    @property
    def attention_scorer(self) -> Scorer | None:
        """The part that reads the language model's attention, if one does.

        Raises:
            ConfigError: several do, and differ.
        """
        loaded = [load("importance", spec, Scorer) for _, spec in self.parts]
        found = [scorer for scorer in loaded if scorer.needs_attention]
        if any(other != found[0] for other in found[1:]):
            raise ConfigError("a mix reads the language model's attention in one way: these scorers differ in settings")
        return found[0] if found else None

    def __call__(self, scene: Scene) -> Tensor:
        """(B, N) float32 in [0, 1]."""
        total = sum(weight for weight, _ in self.parts)
        scores = [weight / total * load("importance", spec, Scorer)(scene) for weight, spec in self.parts]
        return normalise(sum(scores[1:], scores[0]), scene.present) if len(scores) > 1 else scores[0]


def vectors(scene: Scene, at: str) -> Tensor:
    """(B, N, C) of each token: itself "after" the merger, its patches one behind the other "before" it. Not a copy."""
    return scene.tokens if at == "after" else scene.features.flatten(2)
