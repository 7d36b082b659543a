"""The same number of tokens at every fixation, or one of DeepSeek-OCR's modes by name.

DeepSeek-OCR (Wei et al. 2025) has modes Tiny, Small, Base and Large; with newlines and a separator counted they are
73, 111, 273 and 421 tokens: Base is 16 x 16 tokens, 16 newlines and 1.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from saccade.budgets import MAX_TOK, Budget
from saccade.types import Scene

MODES = {"tiny": 73, "small": 111, "base": 273, "large": 421}


def _number(given: Any) -> Any:
    if isinstance(given, str) and not given.strip().isdecimal():
        if given not in MODES:
            known = ", ".join(f"{name} ({tokens})" for name, tokens in MODES.items())
            raise ValueError(f"a number of tokens, or one of {known}")
        return MODES[given]
    return given


class Fixed(Budget):
    """`tokens` at every fixation, whatever the picture."""

    tokens: Annotated[int, BeforeValidator(_number)] = Field(
        273,
        ge=1,
        le=MAX_TOK,
        description="Visual tokens per fixation, or tiny (73), small (111), base (273), large (421).",
    )

    def __call__(self, scene: Scene) -> list[int]:
        return [self.tokens] * len(scene.grids)

    @property
    def most_tok(self) -> int:
        return self.tokens
