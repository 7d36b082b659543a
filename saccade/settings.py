"""Settings: values that are checked as a whole when they are built and do not change afterwards.

Everything that a user may set is one: an episode, a run, an endpoint. A strategy (`saccade.registry.Strategy`) is a
`Settings` with a name that it is loaded by. A field's name, default, limits and description are all that a command line
needs to offer it; what they cannot say stands in an `Option` beside them:

    class Episode(Settings):
        panel = "How it looks"
        planner: Annotated[Spec, Option(names="planners")] = Field("query", description="Where to look next.")
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen pydantic model that refuses unknown fields. Equal values are equal settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    panel: ClassVar[str] = "Options"
    """Heading under which `--help` lists its fields."""

    def dump(self) -> dict[str, Any]:
        """The values as JSON and YAML take them: what result files record."""
        return self.model_dump(mode="json")

    def with_settings(self, **settings: Any) -> Self:
        """A copy with some settings changed, validated like the original."""
        return type(self)(**{**self.model_dump(), **settings})


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """A setting of a strategy that has an option of its own: `--tokens` is `budget.tokens`."""

    name: str
    of: str = ""  # the strategy whose field says what it is
    help: str = ""  # where no strategy's field does, or says enough
    takes: Any = None  # as the strategy's field; without one a text
    metavar: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What a field does not say by itself about how it is given in options, files and --set."""

    panel: str = ""  # heading in --help; "": that of its class
    names: str = ""  # folder of saccade/ of whose files it names one: samplers, planners, ...
    shorts: tuple[Short, ...] = ()  # settings of what it names that have options of their own
    spelled: Short | None = None  # it is given under another name, or in another unit
    hidden: bool = False  # in files and --set only
    of_looks: bool = False  # it says how looks are taken: a view, which shows everything at once, takes none
    idle: Any = None  # the value that such a setting has where there are no looks; it may be given beside a view


def option_of(metadata: list[Any]) -> Option:
    """The `Option` among a field's metadata, or one that says nothing."""
    return next((item for item in metadata if isinstance(item, Option)), Option())
