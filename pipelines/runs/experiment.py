"""An experiment's configuration: one data set, one engine, and the variants of looking that one table compares."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from pipelines.runs.engine import settled
from pipelines.runs.failures import Failing
from saccade.config import Episode
from saccade.datasets import Dataset
from saccade.engines import EngineSpec, choose_engine
from saccade.errors import ConfigError, UnknownName
from saccade.registry import load, validation_text
from saccade.settings import Settings

ALL = "all"
"""What stands for every experiment in configs/experiments/."""
CONFIGS = Path(__file__).parents[1] / "configs" / "experiments"


class Experiment(Settings):
    """One table: a data set, an engine, and the variants by the names their rows get."""

    title: str
    dataset: dict[str, Any] = Field(description="A data set and its settings: {name: synthdoc, ...}.")
    limit: int | None = Field(None, ge=1, description="Questions at most.")
    engine: dict[str, Any] = Field({}, description="An engine and its settings; without a name transformers.")
    variants: dict[str, dict[str, Any]] = Field(min_length=1, description="Row name -> settings of `Episode`.")
    against: dict[str, str] = Field({}, description="Row name -> row it is compared with, question by question.")
    timed: bool = Field(
        False, description="Every variant encodes for itself, so that seconds are its own; a column says them."
    )
    memory: bool = Field(False, description="Every variant answers once more, and a column says the memory it needs.")
    profile: bool = Field(False, description="With `timed`: a second table says the time of each stage.")
    bins: tuple[float, ...] = Field((), description="Edges of the letter-height bins, px of x-height.")
    by: str = Field(
        "",
        description="A column for each value of this: a key of the questions' metadata (`part` of mixed data), or a "
        "variant, which tells the questions that it reads from the others.",
    )
    spread: bool = Field(False, description="With `by`: a column says the standard deviation over its values.")
    expects: str = Field("", description="What was expected, and by whom: a sentence below the table.")
    expected: dict[str, float] = Field({}, description="Row name -> expected difference; a column says if it was met.")
    failures: Failing | None = Field(None, description="Tells why one variant fails, by what others read.")

    def opened(self) -> tuple[Dataset, EngineSpec, dict[str, Episode]]:
        """Everything the settings name, checked.

        Raises:
            ConfigError: a name or a setting is wrong; the message says where.
        """
        named = {"against": {*self.against, *self.against.values()}, "expected": set(self.expected)}
        named["failures"] = set(self.failures.dump().values()) if self.failures else set()
        for key, names in named.items():
            if unknown := names - self.variants.keys():
                raise ConfigError(f"{key}: no variant {', '.join(unknown)}. There are: {', '.join(self.variants)}")
        if loose := self.expected.keys() - self.against.keys():
            raise ConfigError(f"expected: {', '.join(loose)} is compared with nothing: give it a row in `against`")
        if self.profile and not self.timed:
            raise ConfigError("profile: the time of each stage is that of a variant by itself: give timed: true")
        made = {}
        for name, settings in self.variants.items():
            try:
                made[name] = Episode(**settings)
            except ValidationError as error:
                raise ConfigError(f"variant {name!r}: {validation_text(error)}") from error
        spec: Any = settled(choose_engine({"name": "hf", **self.engine}), here=True)
        for episode in made.values():
            episode.check_engine(spec)
        return load("datasets", self.dataset, Dataset), spec, made


def find_experiment(name: str) -> Path:
    """The YAML file at a path, or the one of that name in configs/experiments/.

    Raises:
        UnknownName: there is neither; the message lists what there is.
    """
    there = in_repository()
    if (path := Path(name).expanduser()).is_file():
        return path
    if name not in there:
        raise UnknownName(f"no experiment {name!r}: neither a YAML file, nor {ALL}, nor one of {', '.join(there)}")
    return there[name]


def in_repository() -> dict[str, Path]:
    """The experiments of configs/experiments/ by name."""
    return {path.stem: path for path in sorted(CONFIGS.glob("*.yaml"))}


def read_experiment(path: Path) -> Experiment:
    """An experiment from its YAML file.

    Raises:
        ConfigError: no such file, not YAML, or a setting is unknown.
    """
    try:
        return Experiment(**yaml.safe_load(path.read_text()))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, TypeError) as error:
        raise ConfigError(f"{path} is not a YAML mapping: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {validation_text(error)}") from error
