"""Settings that all engines share: what was measured of the checkpoint, and what reduces its tokens."""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from saccade.card import Card
from saccade.engines import EngineSpec
from saccade.errors import ConfigError
from saccade.reduction import Reduction
from saccade.reduction._drop import Drop
from saccade.registry import load


class Checkpoint(EngineSpec):
    """Settings of a checkpoint that every engine takes."""

    card: str | dict[str, Any] | None = Field(
        None,
        description="File of what `saccade train calibration` measured of the checkpoint; None: its own saccade.json.",
    )
    reduction: str | dict[str, Any] | None = Field(None, description="What reduces tokens in or after the tower.")

    @field_validator("card")
    @classmethod
    def _card(cls, value: Any) -> Any:
        """The card itself in place of its file, so that results record it."""
        if isinstance(value, str):
            if not Path(value).is_file():
                raise ConfigError(f"no file {value!r} (engine.card): saccade train calibration writes one")
            return Card.load(Path(value)).dump()
        return None if value is None else Card.model_validate(value).dump()

    def measured(self, file: Path | None) -> Card:
        """The card that counts: the one given, else the checkpoint's own in `file`. Raises ConfigError: no card."""
        return Card.load(file) if self.card is None else Card.model_validate(self.card)

    @field_validator("reduction")
    @classmethod
    def _reduction(cls, value: Any) -> Any:
        """The reduction with all its settings, so that results record them."""
        reduction = None if value is None else load("reduction", value, Reduction)
        if isinstance(reduction, Drop):
            raise ConfigError(
                f"{reduction.name()} drops tokens inside the decoder: --set engine.drop.name={reduction.name()}"
            )
        return reduction and reduction.spec()

    def common(self) -> dict[str, Any]:
        """These settings alone, for another engine with the same checkpoint."""
        return {name: getattr(self, name) for name in Checkpoint.model_fields}
