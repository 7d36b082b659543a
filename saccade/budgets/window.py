"""Budget from the context window: what the text leaves of max_model_len."""

from typing import Self

from pydantic import Field, model_validator

from saccade.budgets import MAX_TOK, Budget
from saccade.errors import ConfigError
from saccade.types import Scene
from saccade.wording import counted


class Window(Budget):
    """(max_model_len - question - reserve) / fixations visual tokens at every fixation, at least 1 and at most `most`.

    All fixations of a question stand in one prompt. The question is counted in the language model's own tokens; the
    prompt's other text, a glimpse and the answer must find room in `reserve`. A window filled by a very long question
    alone leaves 1, and the engine refuses the prompt as it does without saccade.
    """

    max_model_len: int = Field(4096, ge=2, le=MAX_TOK, description="Tokens that the reader's context holds.")
    fixations: int = Field(3, ge=1, le=64, description="Fixations that share the window: what the episode takes.")
    reserve: int = Field(256, ge=0, le=MAX_TOK, description="Tokens kept for other text, a glimpse and the answer.")
    most: int = Field(2**20, ge=1, le=MAX_TOK, description="Visual tokens per fixation at most.")

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.max_model_len - self.reserve < self.fixations:
            raise ConfigError(
                f"a window of {self.max_model_len} tokens with {self.reserve} reserved leaves no visual token for "
                f"each of {counted(self.fixations, 'fixation')}: raise max_model_len or lower reserve"
            )
        return self

    def __call__(self, scene: Scene) -> list[int]:
        return [self._fits(len(query.tokens)) for query in scene.queries]

    def _fits(self, text_tok: int) -> int:
        room = (self.max_model_len - self.reserve - text_tok) // self.fixations
        return max(1, min(self.most, room))

    @property
    def most_tok(self) -> int:
        return self._fits(0)
