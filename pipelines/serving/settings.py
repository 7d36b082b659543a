"""What an endpoint is: its model, how it looks unless a request says otherwise, and what it refuses."""

import hashlib
from pathlib import Path, PurePath
from typing import Any

from pydantic import Field, model_validator

from pipelines.engine import settled
from saccade.config import Episode
from saccade.decoding.pages import Pages
from saccade.engines import EngineSpec, choose_engine
from saccade.errors import ConfigError
from saccade.registry import load
from saccade.settings import Settings

MIB = 2**20


class ServeConfig(Settings):
    """Settings of one endpoint. Checked as a whole when built, before anything is started."""

    engine: dict[str, Any] = Field({"name": "auto"}, description="{'name': ENGINE, settings}: who encodes and reads.")
    episode: Episode = Field(default_factory=Episode, description="How it looks, unless a request says otherwise.")
    served_name: str | None = Field(None, description="Model name that requests give; None: the checkpoint's.")
    max_request_bytes: int = Field(32 * MIB, ge=1024, description="Bytes of a request, images in base64 included.")
    max_image_px: int = Field(50_000_000, ge=1, description="Pixels of one image.")
    max_images: int = Field(4, ge=1, le=64, description="Images of one request.")
    max_episodes: int = Field(8, ge=1, description="Requests that are looked at together; others wait.")
    max_queue: int = Field(64, ge=0, description="Requests that wait, at most; one more is answered 429.")
    timeout_s: float = Field(120, gt=0, description="A request that takes longer, waiting included, is answered 503.")
    url_hosts: tuple[str, ...] = Field((), description="Hosts that image URLs may name; none: only data: URIs.")
    url_timeout_s: float = Field(10, gt=0, description="Seconds to fetch one image URL.")
    key_hashes: tuple[str, ...] = Field((), description="SHA-256 (hex) of accepted API keys; none: no key is asked.")
    allow_origins: tuple[str, ...] = Field((), description="Origins whose pages may ask (CORS); '*': all; none: no.")
    pages: Pages = Field(None, description="Pages of a PDF or TIFF that are looked at: 1,3-5 (default: all).")
    cache_bytes: int = Field(256 * MIB, ge=0, description="Encodings that each encoder keeps.")
    encode_batch: int = Field(4, ge=1, description="Images in one pass of the vision tower, at most.")
    encode_wait_s: float = Field(0.005, ge=0, description="How long a pass waits for more images.")
    num_encoders: int = Field(1, ge=1, description="Encoder replicas.")
    min_readers: int = Field(1, ge=1, description="Reader replicas, at least.")
    max_readers: int = Field(1, ge=1, description="Reader replicas, at most: more are started under load.")
    reads_per_reader: int = Field(8, ge=1, description="Reads sent to one reader at a time.")
    encoder_gpus: float | None = Field(None, ge=0, description="GPUs per encoder; None: the GPUs there are, shared.")
    reader_gpus: float | None = Field(None, ge=0, description="GPUs per reader; None: as `encoder_gpus`.")
    cpus: float = Field(0.4, gt=0, description="Logical CPUs of each replica.")
    threads: int | None = Field(None, ge=1, description="CPU threads per encoder and reader; None: the CPUs, shared.")
    drain_s: float = Field(30, ge=0, description="What is being answered has this long to end when the server closes.")

    @model_validator(mode="before")
    @classmethod
    def _parts(cls, values: Any) -> Any:
        """The engine as it opens here, the episode from its settings."""
        looks = values.get("episode", {})
        engine = settled(choose_engine(values.get("engine")), here=False)
        return {**values, "engine": engine.spec(), "episode": Episode(**looks) if isinstance(looks, dict) else looks}

    @model_validator(mode="after")
    def _check(self) -> "ServeConfig":
        if self.max_readers < self.min_readers:
            raise ConfigError(f"max_readers is {self.max_readers}, below min_readers, which is {self.min_readers}")
        self.episode.check_engine(None, together=False)
        return self

    @property
    def engine_spec(self) -> EngineSpec:
        """The engine's settings."""
        return load("engines", self.engine, EngineSpec)

    @property
    def model_name(self) -> str:
        """What requests call the model."""
        return self.served_name or PurePath(self.engine_spec.model).name


def key_hashes(path: Path) -> tuple[str, ...]:
    """SHA-256 of each key in a file of one key a line; empty lines and lines that begin with # are left out.

    Raises:
        ConfigError: the file cannot be read, or holds no key.
    """
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the key file {path}: {error}") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"the key file {path} holds no key. Put one key a line, or leave --api-key-file out")
    return tuple(hashed(key) for key in keys)


def hashed(key: str) -> str:
    """What is kept of an API key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
