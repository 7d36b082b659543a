"""An experiment's configuration: one data set, one engine, and the variants that its table compares."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError

from pipelines.runs.engine import settled
from pipelines.runs.wrong_answers import Failing
from saccade.config import Episode
from saccade.datasets import Dataset
from saccade.engines import EngineSpec, checkpoint, choose_engine
from saccade.errors import ConfigError, UnknownName
from saccade.families import own_gaze
from saccade.heads.scoring import looks_by, trained_on
from saccade.registry import load, unknown_text, validation_text
from saccade.settings import Settings
from saccade.wording import meant

ALL = "all"
"""What stands for every experiment in configs/experiments/."""
CONFIGS = Path(__file__).parents[1] / "configs" / "experiments"


class Headed(Settings):
    """The rows of trained heads that the command line names."""

    looks: dict[str, Any] = Field(description="Settings of `Episode`; the scorer is the head.")
    against: str = Field(description="The row that each is compared with.")
    row: str = Field("{}", description="What the row of a head is called, with its folder's name for {}.")


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
    heads: Headed | None = Field(None, description="How a head given on the command line looks (`--head FOLDER`).")
    failures: Failing | None = Field(None, description="Tells why one variant fails, by what others read.")

    def resolved(self) -> tuple[Dataset, EngineSpec, dict[str, Episode]]:
        """Everything the settings name, checked.

        Raises:
            ConfigError: a name or a setting is wrong; the message says where.
        """
        named = {"against": {*self.against, *self.against.values()}, "expected": set(self.expected)}
        named["failures"] = set(self.failures.variants) if self.failures else set()
        named["heads"] = {self.heads.against} if self.heads else set()
        for key, names in named.items():
            if unknown := names - self.variants.keys():
                near = "".join(meant(name, self.variants) for name in sorted(unknown))
                there = ", ".join(self.variants)
                raise ConfigError(f"{key}: no variant {', '.join(sorted(unknown))}. {near}There are: {there}")
        if loose := self.expected.keys() - self.against.keys():
            raise ConfigError(f"expected: {', '.join(loose)} is compared with nothing: give it a row in `against`")
        if self.profile and not self.timed:
            raise ConfigError("profile: the time of each stage is that of a variant by itself: give timed: true")
        episodes = {}
        for name, settings in self.variants.items():
            try:
                episodes[name] = Episode(**settings)
            except ValidationError as error:
                raise ConfigError(f"variant {name!r}: {validation_text(error)}") from error
        spec: Any = settled(choose_engine({"name": "hf", **self.engine}), here=True)
        for episode in episodes.values():
            episode.check_engine(spec)
        return load("datasets", self.dataset, Dataset), spec, episodes

    def with_heads(self, folders: Sequence[Path]) -> Self:
        """With a row for each trained head, or attention across levels, named after its folder.

        Raises:
            ConfigError: the experiment takes no heads, two have the same name, or a folder holds none.
        """
        if self.heads is None:
            raise ConfigError("this experiment has no rows for trained heads (`heads:`); `trained`, `samplers` have")
        variants, against = dict(self.variants), dict(self.against)
        for folder in folders:
            if (name := self.heads.row.replace("{}", folder.resolve().name)) in variants:
                raise ConfigError(f"--head {folder}: there is a row {name!r} already; rows are called as their folders")
            variants[name], against[name] = {**self.heads.looks, **looks_by(folder)}, self.heads.against
        return self.with_settings(variants=variants, against=against)

    def trained_pages(self) -> dict[str, int]:
        """How many pages the heads of each row were trained on, for rows that have some."""
        _, spec, variants = self.resolved()
        most_pages = {}
        for name, episode in variants.items():
            scorers = episode.with_gaze(own_gaze(checkpoint(spec.model))).strategies.score.scorers
            parts = [getattr(scorer, key, None) for _, scorer in scorers for key in ("head", "weights")]
            heads = [folder for folder in parts if isinstance(folder, str)]
            pages = [trained_on(Path(head)) for head in heads]
            if known := [number for number in pages if number is not None]:
                most_pages[name] = max(known)
        return most_pages


def find_experiment(name: str) -> Path:
    """The YAML file at a path, or the one of that name in configs/experiments/.

    Raises:
        UnknownName: there is neither; the message lists what there is.
    """
    experiments = in_repository()
    if (path := Path(name).expanduser()).is_file():
        return path
    if name not in experiments:
        raise UnknownName(
            f"no experiment {name!r}: neither a YAML file, nor {ALL}, nor one of those in configs/experiments/. "
            f"{meant(name, [ALL, *experiments])}There are: {', '.join(experiments)}"
        )
    return experiments[name]


def in_repository() -> dict[str, Path]:
    """The experiments of configs/experiments/ by name."""
    return {path.stem: path for path in sorted(CONFIGS.glob("*.yaml"))}


def read_experiment(path: Path) -> Experiment:
    """An experiment from its YAML file.

    Raises:
        ConfigError: no such file, not YAML, or a setting is unknown.
    """
    loaded: Any = None
    try:
        loaded = yaml.safe_load(path.read_text("utf-8"))
        return Experiment(**loaded)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, TypeError) as error:
        raise ConfigError(f"{path} is not a YAML mapping: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        more = unknown_text(loaded, Experiment.model_fields)
        raise ConfigError(f"{path}: {validation_text(error)}{more}") from error
