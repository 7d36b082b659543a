"""What a batch run is: its settings, and what they resolve to before anything is started.

A run's *identity* is everything that may change an answer: data, settings of the episode, model weights. How many
actors work on it, and where, is not part of it: a run may be resumed on another machine.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from pipelines.engine import settled
from saccade.config import Episode
from saccade.datasets import Dataset
from saccade.engines import EngineSpec, choose_engine
from saccade.engines.hf import checkpoint, model_type
from saccade.errors import ConfigError
from saccade.families import Family, checkpoint_file, fingerprint
from saccade.registry import find, load
from saccade.settings import Settings

IN_FLIGHT = 32


class RunConfig(Settings):
    """Settings of one `saccade batch`. Checked as a whole when built."""

    dataset: dict[str, Any] = Field(description="A data set's spec: {'name': ..., settings}, or a `Dataset`.")
    output: Path = Field(description="Folder of the run.")
    limit: int | None = Field(None, ge=1, description="Questions, at most; None: all.")
    episode: Episode = Field(default_factory=Episode)
    engine: dict[str, Any] = Field({"name": "auto"}, description="An engine's spec, as `dataset`.")
    num_encoders: int = Field(1, ge=1, description="Actors that encode images.")
    num_readers: int = Field(1, ge=1, description="Actors that answer.")
    num_lookers: int = Field(1, ge=1, description="Actors that plan, score and select.")
    encoder_gpus: float | None = Field(None, ge=0, description="GPUs per encoder; None: the GPUs there are, shared.")
    reader_gpus: float | None = Field(None, ge=0, description="GPUs per reader; None: as `encoder_gpus`.")
    threads: int | None = Field(None, ge=1, description="CPU threads per encoder and reader; None: the CPUs, shared.")
    episodes_per_reader: int = Field(4, ge=1, description="Episodes that are open on one reader at a time.")
    in_flight: int = Field(IN_FLIGHT, ge=1, description="Images encoded but not yet written, at most.")
    max_restarts: int = Field(3, ge=0, description="Times a dead actor, or a request that killed one, is tried again.")
    address: str | None = Field(None, description="A Ray cluster (host:port, auto); None: this machine.")
    resume: bool = Field(False, description="Go on with what is in `output`.")
    retry_errors: bool = Field(False, description="With `resume`: images with error rows are done again.")

    @field_validator("dataset", mode="before")
    @classmethod
    def _spec(cls, value: Any) -> Any:
        return value.spec() if isinstance(value, Dataset) else value

    @model_validator(mode="before")
    @classmethod
    def _engine(cls, values: Any) -> Any:
        """The engine as it opens here. Beside a cluster's workers a driver may have no GPU of its own."""
        engine = choose_engine(values.get("engine"))
        if engine.device.startswith("cuda:"):
            raise ConfigError(
                f"--device {engine.device}: Ray chooses the GPU of each worker. Give --device cuda; "
                "CUDA_VISIBLE_DEVICES says which GPUs it may choose from"
            )
        opened = settled(engine, here=values.get("address") is None)
        return {**values, "engine": opened.spec()}

    @field_validator("output")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @model_validator(mode="after")
    def _check(self) -> "RunConfig":
        load("datasets", self.dataset, Dataset)
        if self.retry_errors and not self.resume:
            raise ConfigError("--retry-errors goes on with a run: give --resume as well")
        self.episode.check_engine(None, together=False)
        return self

    def open_dataset(self) -> Dataset:
        """The data set that `dataset` describes."""
        return load("datasets", self.dataset, Dataset)

    def engine_spec(self) -> EngineSpec:
        """The engine that `engine` describes."""
        return load("engines", self.engine, EngineSpec)


def identity(config: RunConfig, dataset: Dataset) -> tuple[dict[str, Any], int | None]:
    """Everything that may change an answer, and the pixel limit as it is resolved.

    Raises:
        ConfigError: the model or the data cannot be found, or the model's family is not supported.
    """
    spec = config.engine_spec()
    path = checkpoint(spec.model)
    find("families", model_type(path), Family)  # an unsupported family is refused here
    weights = fingerprint(path)
    max_px = spec.max_px or checkpoint_max_px(path)
    where = {"data_path"}  # the same data elsewhere is the same data: its fingerprint says so
    return {
        "dataset": {key: value for key, value in dataset.spec().items() if key not in where},
        "data": dataset.fingerprint(),
        "limit": config.limit,
        "episode": config.episode.model_dump(mode="json"),
        "engine": {**spec.identity(), "max_px": max_px, "weights": weights},
    }, max_px


def checkpoint_max_px(path: str) -> int | None:
    """Pixels to which a checkpoint's own processor settings scale an image, if they say so."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        file = checkpoint_file(path, name)
        if file is None:
            continue
        settings = json.loads(file.read_text())
        settings = settings.get("image_processor", settings)
        limit = settings.get("size", {}).get("longest_edge") or settings.get("max_pixels")
        if limit:
            return int(limit)
    return None


def share_of_cpus(total: float, num_actors: int) -> float:
    """Logical CPUs of each actor, so that 1.5 stay free for tasks: one that splits the manifest takes a whole one."""
    return max(0.01, min(1.0, math.floor((total - 1.5) / num_actors * 100 + 1e-6) / 100))


def thread_share(cpus_of_nodes: Sequence[float], num_actors: int) -> int:
    """CPU threads of each actor: an equal share of all CPUs, if the smallest node has that many."""
    return max(1, int(min(sum(cpus_of_nodes) // num_actors, min(cpus_of_nodes))))


def gpu_shares(
    num_gpus: int, num_encoders: int, num_readers: int, encoder: float | None, reader: float | None
) -> tuple[float, float]:
    """GPUs of each encoder and reader; None: an equal share of the GPUs that the others leave, one GPU at most.

    Ray puts an actor on a part of one GPU or on whole ones, so the shares are such that they fit GPU by GPU.

    Raises:
        ConfigError: there are not so many GPUs.
    """
    given = [encoder] * num_encoders + [reader] * num_readers
    free, sharing = [1.0] * num_gpus, given.count(None)
    fits = all(_take(free, share) for share in sorted((share for share in given if share), reverse=True))
    shares = [math.floor(1e4 / parts) / 1e4 for parts in range(1, 101)]  # Ray counts in steps of 0.0001
    equal = next((share for share in shares if sum(int(room / share + 1e-6) for room in free) >= sharing), 0.0)
    if not fits or (num_gpus and sharing and not equal):
        raise ConfigError(
            f"{num_encoders} encoders (--encoder-gpus {_shown(encoder)}) and {num_readers} readers (--reader-gpus "
            f"{_shown(reader)}) do not fit {num_gpus} GPUs, which is what Ray has: an actor gets a part of one GPU, or "
            "whole ones. Lower the shares, --num-encoders or --num-readers; or give --device cpu"
        )
    return equal if encoder is None else encoder, equal if reader is None else reader


def _take(free: list[float], share: float) -> bool:
    """Takes a share from the GPUs' free parts, if it fits: a part from the first one, or whole ones."""
    whole = max(1, round(share))
    fitting = [place for place, room in enumerate(free) if room >= min(share, 1) - 1e-6][:whole]
    if len(fitting) < whole or (share > 1 and share != whole):
        return False
    for place in fitting:
        free[place] -= min(share, 1)
    return True


def changes(before: Any, after: Any, name: str = "") -> list[str]:
    """`name: old -> new` for every value in which two nested settings differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [text for key in keys for text in changes(before.get(key), after.get(key), f"{name}.{key}".lstrip("."))]
    return [] if before == after else [f"{name}: {_shown(before)} -> {_shown(after)}"]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
