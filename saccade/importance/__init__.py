"""Importance: what each token is worth looking at. One file per scorer; the file's name is the scorer's name."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from saccade.clock import stage
from saccade.errors import ConfigError
from saccade.registry import Strategy, load
from saccade.settings import Settings
from saccade.tokens.ranking import normalise
from saccade.types import Need, Scene

GROUP_TOK = 4096
"""Tokens of the images that are scored together: more at once is no faster on a CPU, and needs memory."""


class Scorer(Strategy):
    """Scene batch -> (B, N) float32 in [0, 1], 0 at padding. The highest valid token of an image scores 1."""

    reads: ClassVar[tuple[Need, ...]]
    """Everything of a scene that it may read: pictures (pixels), tokens and features (tower), attention received in
    the tower (received), the question's tokens (question), `Scene.attention` (attention)."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads with these settings."""
        return frozenset(self.reads)

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


class Listener(Scorer):
    """A scorer that reads `Scene.attention`: the language model reads the glimpse before the first look."""

    reads: ClassVar[tuple[Need, ...]] = ("attention",)

    layer: int | None = Field(None, ge=0, description="Layer of the language model, from 0; none: the middle one.")
    neutral: str = Field("Describe the image.", min_length=1, description="The prompt it is relative to.")


class Mix(Settings):
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
    def needs(self) -> frozenset[Need]:
        """What its scorers read."""
        return frozenset[Need]().union(*(scorer.needs for _, scorer in self.scorers))

    @property
    def scorers(self) -> list[tuple[float, Scorer]]:
        """Weight, of 1 altogether, and scorer."""
        total = sum(weight for weight, _ in self.parts)
        return [(weight / total, load("importance", spec, Scorer)) for weight, spec in self.parts]

    @property
    def listener(self) -> "Listener | None":
        """The scorer that reads the language model's attention, if one does.

        Raises:
            ConfigError: several do, and differ.
        """
        listeners = [scorer for _, scorer in self.scorers if isinstance(scorer, Listener)]
        if any(other != listeners[0] for other in listeners[1:]):
            raise ConfigError("a mix reads the language model's attention in one way: these scorers differ in settings")
        return listeners[0] if listeners else None

    @stage("scoring")
    def __call__(self, scene: Scene) -> Tensor:
        """(B, N) float32 in [0, 1]."""
        scores = [weight * scorer(scene) for weight, scorer in self.scorers]
        return normalise(sum(scores[1:], scores[0]), scene.present) if len(scores) > 1 else scores[0]


def vectors(scene: Scene, at: str) -> Tensor:
    """(B, N, C) of each token: itself "after" the merger, its patches one after the other "before" it. Not a copy."""
    return scene.tokens if at == "after" else scene.features.flatten(2)
