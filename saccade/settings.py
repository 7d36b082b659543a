"""Settings: values that are checked as a whole when they are built and do not change afterwards.

Everything that a user may set is one: an episode, a run, an endpoint. A strategy (`saccade.registry.Strategy`) is a
`Settings` with a name that it is loaded by.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen pydantic model that refuses unknown fields. Equal values are equal settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def dump(self) -> dict[str, Any]:
        """The values as JSON and YAML take them: what result files record."""
        return self.model_dump(mode="json")

    def with_settings(self, **settings: Any) -> Self:
        """A copy with some settings changed, validated like the original."""
        return type(self)(**{**self.model_dump(), **settings})
