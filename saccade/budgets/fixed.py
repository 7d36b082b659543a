"""The same number of tokens at every fixation (B1). 273 is DeepSeek-OCR's Base mode: 16 x 16 + 16 newlines + 1."""

from pydantic import Field

from saccade.budgets import Budget
from saccade.types import Scene


class Fixed(Budget):
    """`tokens` at every fixation, whatever the picture."""

    tokens: int = Field(273, ge=1, description="Visual tokens per fixation.")

    def __call__(self, scene: Scene) -> list[int]:
        return [self.tokens] * len(scene.grids)

    @property
    def most_tok(self) -> int:
        return self.tokens
