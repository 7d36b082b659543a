"""What a batch run is: its settings, and what they resolve to before anything is started.

A run's *identity* is everything that may change an answer: data, settings of the episode, model weights. How many
actors work on it, and where, is not part of it: a run may be resumed on another machine.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.runs.engine import settled
from saccade.config import Episode
from saccade.datasets import Dataset, digest
from saccade.engines import EngineSpec, checkpoint, choose_engine
from saccade.engines._configuration import model_type
from saccade.errors import ConfigError
from saccade.families import Family, checkpoint_file, fingerprint
from saccade.registry import find, load
from saccade.settings import Option, Settings, Short, option_of

HIDDEN = Option(hidden=True)
ANYWHERE = ("output", "resume", "retry_errors", "in_process", "export")
"""Settings of a run with Ray and without; all others of `RunConfig` itself are of the actors of a run on Ray."""


class Model(Settings):
    """What runs the model."""

    panel = "Model"

    engine: Annotated[
        dict[str, Any],
        Option(
            names="engines",
            shorts=(
                Short(name="model", of="hf", help="nano (bundled), a checkpoint folder, or a name on the hub."),
                Short(name="device", of="hf", help="auto, cpu, cuda, cuda:1, ..."),
                Short(name="max_px", of="hf"),
            ),
        ),
    ] = Field({"name": "auto"}, description="hf, vllm, or auto: vllm where it can read on a GPU.")


class Looking(Model):
    """A model, and how it looks: what every command that answers questions is set to."""

    episode: Episode = Field(default_factory=Episode, description="How it looks.")


class Data(Settings):
    """Questions about images."""

    panel = "What it answers"

    dataset: Annotated[
        dict[str, Any],
        Option(
            names="datasets",
            shorts=(
                Short(name="data_path", takes=Path, help="Where the named data set lies on this machine."),
                Short(name="question", help="What to ask of every image of a folder."),
                Short(name="page_px", of="synthdoc", help="Longest side of generated pages (synthdoc)."),
                Short(name="metric", metavar="NAME", help="How your own data are scored (`saccade list metrics`)."),
                Short(name="pages", metavar="1,3-5", help="Pages of a PDF or TIFF, each a picture of its own."),
            ),
        ),
    ] = Field(
        {"name": "synthdoc"},
        description="A name (`saccade list datasets`) or a path: questions.jsonl, a Parquet file or folder of them, or "
        "a folder of images with --question.",
    )
    limit: int | None = Field(None, ge=1, description="Questions at most: the first ones, image by image; None: all.")


class RunConfig(Looking, Data):
    """Settings of one `saccade batch`. Checked as a whole when built."""

    panel = "Where it runs"

    output: Path = Field(description="Folder of the run; None: runs/DATASET.")
    resume: bool = Field(False, description="Go on with the run in --output.")
    retry_errors: bool = Field(False, description="With --resume: redo images that have error rows.")
    in_process: bool = Field(False, description="A loop in this process: starts at once, no Ray.")
    num_encoders: int | None = Field(None, ge=1, description="Actors that encode; None: as GPUs and CPUs allow.")
    num_readers: int | None = Field(None, ge=1, description="Actors that answer; None: likewise.")
    num_lookers: Annotated[int | None, HIDDEN] = Field(
        None, ge=1, description="Actors that plan, score and select; None: one per four readers."
    )
    encoder_gpus: float | None = Field(None, ge=0, description="GPUs per encoder, 0.5: half of one; None: all, shared.")
    reader_gpus: float | None = Field(None, ge=0, description="GPUs per reader; None: all, shared.")
    threads: Annotated[int | None, HIDDEN] = Field(
        None, ge=1, description="CPU threads per encoder and reader; None: the CPUs, shared."
    )
    episodes_per_reader: Annotated[int, HIDDEN] = Field(
        16, ge=1, description="Episodes that are open on one reader at a time."
    )
    encode_batch: Annotated[int | None, HIDDEN] = Field(
        None, ge=1, description="Images in one pass of the tower, at most; None: 4 on a GPU, 1 on a CPU."
    )
    in_flight: Annotated[int | None, HIDDEN] = Field(
        None, ge=1, description="Images encoded but not yet written, at most; None: 32 per reader."
    )
    max_restarts: Annotated[int, HIDDEN] = Field(
        3, ge=0, description="Times a dead actor, or a request that killed one, is tried again."
    )
    export: Literal["jsonl", "csv", "lmms-eval"] | None = Field(
        None,
        description="Write the answers as one file in OUTPUT as well; in csv, formulas are quoted ('=1+1).",
    )
    hang_timeout_s: Annotated[float, HIDDEN] = Field(
        900,
        gt=0,
        description="An encoder or a reader that is asked and answers nothing for so long is started again.",
    )
    address: str | None = Field(
        None,
        description="A Ray cluster: auto or host:port. --output, the data and a checkpoint folder must be on storage "
        "that all its nodes share, under the same path; None: this machine.",
    )

    @field_validator("dataset", mode="before")
    @classmethod
    def _spec(cls, value: Any) -> Any:
        return value.spec() if isinstance(value, Dataset) else value

    @model_validator(mode="before")
    @classmethod
    def _engine(cls, values: Any) -> Any:
        """The engine as it opens here. Beside a cluster's workers a driver may have no GPU of its own."""
        engine = choose_engine(values.get("engine"))
        if engine.device.startswith("cuda:") and not values.get("in_process"):
            raise ConfigError(
                f"--device {engine.device}: Ray chooses the GPU of each worker. Give --device cuda; "
                "CUDA_VISIBLE_DEVICES says which GPUs it may choose from"
            )
        resolved = settled(engine, here=values.get("address") is None)
        return {**values, "engine": resolved.spec()}

    @field_validator("output")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @model_validator(mode="after")
    def _check(self) -> "RunConfig":
        load("datasets", self.dataset, Dataset)
        if self.retry_errors and not self.resume:
            raise ConfigError("--retry-errors goes on with a run: give --resume as well")
        if self.in_process and (asked := self._of_the_graph()):
            raise ConfigError(
                f"--in-process answers in one process, without Ray, where {' and '.join(asked)} would change nothing: "
                "leave that out, or --in-process"
            )
        self.episode.check_engine(self.engine_spec() if self.in_process else None, together=self.in_process)
        return self

    def _of_the_graph(self) -> list[str]:
        """Settings of Ray's actors that were given, as they are spelled. Those of one actor, and defaults, as a
        run.yaml holds them, ask for nothing."""
        fields = RunConfig.model_fields
        own = [name for name in fields if name not in (*Looking.model_fields, *Data.model_fields, *ANYWHERE)]
        found = [name for name in own if getattr(self, name) != fields[name].default]
        alone = [name for name in ("num_encoders", "num_readers", "num_lookers") if getattr(self, name) == 1]
        return [
            f"--set {name}" if option_of(fields[name].metadata).hidden else f"--{name.replace('_', '-')}"
            for name in found
            if name not in alone
        ]

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
    return {
        "dataset": without_paths(dataset.spec()),
        "data": dataset.fingerprint(),
        "limit": config.limit,
        "episode": config.episode.model_dump(mode="json"),
        "engine": {
            **spec.identity(),
            "max_px": max_px,
            "weights": weights,
            "settings": settings_fingerprint(path),
        },
    }, max_px


def without_paths(spec: dict[str, Any]) -> dict[str, Any]:
    """A data set's settings without its location: the same data elsewhere is the same data, as its fingerprint says."""
    settings = {key: value for key, value in spec.items() if key not in ("data_path", "only")}
    return {key: without_paths(value) if isinstance(value, dict) else value for key, value in settings.items()}


BESIDE_WEIGHTS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""What a checkpoint says about prompts, ends of answers and pixels."""


def settings_fingerprint(path: str) -> str:
    """Identity of what a checkpoint has beside its weights: it may change an answer as they do."""
    files = {name: checkpoint_file(path, name) for name in BESIDE_WEIGHTS}
    return digest({name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items() if file})


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


def changes(before: Any, after: Any, name: str = "") -> list[str]:
    """`name: old -> new` for every value in which two nested settings differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [text for key in keys for text in changes(before.get(key), after.get(key), f"{name}.{key}".lstrip("."))]
    return [] if before == after else [f"{name}: {_shown(before)} -> {_shown(after)}"]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
