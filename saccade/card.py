"""What has been measured about a checkpoint, in `saccade.json` beside its weights.

`saccade train calibration` writes it. A checkpoint without one is shown pages as large as they are, and its confidence
is taken from its probabilities as they are.
"""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from saccade.errors import ConfigError
from saccade.metrics.calibration import Calibration

CARD_FILE = "saccade.json"


class Card(BaseModel):
    """What a checkpoint reads best, and what its confidence is worth."""

    model_config = ConfigDict(extra="allow", frozen=True)  # the file also says how it was measured

    print_px: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Lowest x-height, in px, that it reads as well as any; 0: not known.",
    )
    confidence: Calibration = Calibration()
    question_parts: Literal["together", "apart"] = Field(
        "together", description="How it reads a question for several things better: at once, or each by itself."
    )

    def dump(self) -> dict[str, Any]:
        """What it changes, without how it was measured."""
        confidence = self.confidence.model_dump(include=set(Calibration.model_fields))
        return {"print_px": self.print_px, "confidence": confidence, "question_parts": self.question_parts}

    @classmethod
    def load(cls, file: Path | None) -> Self:
        """The card of a checkpoint; the one that says nothing if it has none.

        Raises:
            ConfigError: the file is not one of these.
        """
        if file is None or not file.exists():
            return cls()
        try:
            fields = json.loads(file.read_text())
            if not {"print_px", "confidence"} & set(fields):
                raise ValueError("it has neither print_px nor confidence")
            return cls.model_validate(fields)
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{file} does not say what was measured about a checkpoint: {str(error).splitlines()[0]}. Remove it, "
                "or measure again with saccade train calibration"
            ) from error
