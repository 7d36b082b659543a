"""Named mixes: combinations of scorers that papers use."""

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from saccade.importance import Mix, Scorer
from saccade.registry import find
from saccade.types import Need, Scene

PRESETS: dict[str, tuple[tuple[str, float], ...]] = {
    # Contrast, rarity, attention, frequency, as training-free pyramid pruning weighs them. Needs no question.
    "pyramid_drop": (("contrast", 0.3), ("rarity", 0.3), ("received", 0.2), ("frequency", 0.2)),
    # Region, token and instruction (PTP 2025, arXiv:2509.15704).
    "ptp": (("region", 0.3), ("variance", 0.4), ("instruction", 0.3)),
}


class Preset(Scorer):
    """A weighted sum of scorers by its name; each part is scaled to [0, 1] first, as in any mix.

    `pyramid_drop`: 0.3 local contrast + 0.3 global rarity + 0.2 attention received + 0.2 local frequency.
    `ptp`: 0.3 region variance + 0.4 token variance + 0.3 instruction relevance. Other mixes need no name:
    `--scorer contrast:0.3,edges:0.7`, or a list of scorers with weights and settings in YAML.
    Cost: the sum of its parts', no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "received", "question")

    preset: Literal["pyramid_drop", "ptp"] = Field("pyramid_drop", description="Which mix.")
    at: Literal["before", "after"] = Field("before", description="Before the merger, or after it, where a part can.")

    @property
    def needs(self) -> frozenset[Need]:
        return self.mix.needs

    @property
    def mix(self) -> Mix:
        """The scorers and weights that the name stands for."""
        parts: list[dict[str, Any]] = [
            {"name": name, "weight": weight}
            | ({"at": self.at} if "at" in find("importance", name, Scorer).model_fields else {})
            for name, weight in PRESETS[self.preset]
        ]
        return Mix.parse(parts)

    def raw(self, scene: Scene) -> Tensor:
        return self.mix(scene)
