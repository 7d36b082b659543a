"""The settings that all engines have: which checkpoint, where and how precisely it runs, how large its input is."""

from typing import Any

from pydantic import Field, field_validator

from saccade.engines import EngineSpec
from saccade.errors import ConfigError
from saccade.reduction import Reduction
from saccade.reduction._drop import Drop
from saccade.registry import load


class Checkpoint(EngineSpec):
    """A checkpoint, and what every engine lets one say about it."""

    reduction: str | dict[str, Any] | None = Field(None, description="What reduces tokens in or after the tower.")

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
