"""The settings that all engines have: which checkpoint, where and how precisely it runs, how large its input is."""

from typing import Any

from pydantic import Field, field_validator

from saccade.errors import ConfigError
from saccade.reduction import Reduction
from saccade.reduction._drop import Drop
from saccade.registry import Strategy, load


class Checkpoint(Strategy):
    """A checkpoint, and what every engine lets one say about it."""

    model: str = Field("nano", description="'nano' (bundled), a checkpoint folder, or a name on the hub.")
    device: str = Field("auto", description="Of pictures, and of answers in transformers: auto, cpu, cuda, cuda:1, ...")
    dtype: str = Field("auto", pattern="^(auto|float32|bfloat16|float16)$", description="auto: bfloat16 on CUDA.")
    max_px: int | None = Field(None, ge=1, description="Pixels an image is scaled to at most; None: the checkpoint's.")
    reduction: str | dict[str, Any] | None = Field(None, description="What reduces tokens in or behind the tower.")
    max_new_tok: int = Field(96, ge=1, description="Answers are cut after this many tokens.")

    @field_validator("reduction")
    @classmethod
    def _reduction(cls, value: Any) -> Any:
        """Spelled out with all its settings, so that a result says which they were."""
        made = None if value is None else load("reduction", value, Reduction)
        if isinstance(made, Drop):
            raise ConfigError(f"{made.name()} drops tokens inside the decoder: --set engine.drop.name={made.name()}")
        return made and made.spec()

    def common(self) -> dict[str, Any]:
        """These settings alone, for another engine with the same checkpoint."""
        return {name: getattr(self, name) for name in Checkpoint.model_fields}
