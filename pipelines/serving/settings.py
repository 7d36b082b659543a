"""Settings of an endpoint: its model, how it looks unless a request overrules it, and its limits."""

import hashlib
from pathlib import Path, PurePath
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from pipelines.runs.config import HIDDEN, Looking
from pipelines.runs.engine import settled
from saccade.config import Episode
from saccade.decoding.pages import Pages
from saccade.engines import EngineSpec, choose_engine
from saccade.errors import ConfigError
from saccade.registry import load
from saccade.settings import Option, Short

MIB = 2**20


LIMITS = Option(panel="What it refuses")
SPELLED = ("api_key_file", "allow_host", "max_request_mib", "allow_origin")
"""Names under which `key_hashes`, `url_hosts`, `max_request_bytes` and `allow_origins` are given as options and in
files."""


class ServeConfig(Looking):
    """Settings of one endpoint. Checked as a whole when built, before anything is started."""

    panel = "Where it serves"

    num_encoders: int = Field(1, ge=1, description="Encoder replicas.")
    max_readers: int = Field(1, ge=1, description="Reader replicas at most: they come and go with the load.")
    min_readers: Annotated[int, HIDDEN] = Field(1, ge=1, description="Reader replicas, at least.")
    encoder_gpus: Annotated[float | None, HIDDEN] = Field(
        None, ge=0, description="GPUs per encoder; None: the GPUs there are, shared."
    )
    reader_gpus: Annotated[float | None, HIDDEN] = Field(
        None, ge=0, description="GPUs per reader; None: as `encoder_gpus`."
    )
    key_hashes: Annotated[
        tuple[str, ...],
        Option(
            panel=LIMITS.panel,
            spelled=Short(
                name="api_key_file",
                takes=Path,
                help="File of accepted API keys, one per line (default: no key).",
            ),
        ),
    ] = Field((), description="SHA-256 (hex) of accepted API keys; none: no key is asked.")
    url_hosts: Annotated[
        tuple[str, ...],
        Option(
            panel=LIMITS.panel,
            spelled=Short(
                name="allow_host",
                takes=list[str],
                metavar="HOST",
                help="A host that image URLs may name; may be repeated (default: none).",
            ),
        ),
    ] = Field((), description="Hosts that image URLs may name; none: only data: URIs.")
    max_request_bytes: Annotated[
        int,
        Option(
            panel=LIMITS.panel,
            spelled=Short(
                name="max_request_mib", takes=int, help="MiB of a request, images in base64 included (default: 32)."
            ),
        ),
    ] = Field(32 * MIB, ge=1024, description="Bytes of a request, images in base64 included.")
    max_image_px: Annotated[int, LIMITS] = Field(50_000_000, ge=1, description="Pixels of one image.")
    max_images: Annotated[int, LIMITS] = Field(4, ge=1, le=64, description="Images of one request.")
    max_episodes: Annotated[int, LIMITS] = Field(8, ge=1, description="Requests looked at together; others wait.")
    allow_origins: Annotated[
        tuple[str, ...],
        Option(
            panel=LIMITS.panel,
            spelled=Short(
                name="allow_origin",
                takes=list[str],
                metavar="ORIGIN",
                help="A site whose pages may ask (CORS), as https://app.example; may be repeated; '*': all (default: "
                "none).",
            ),
        ),
    ] = Field((), description="Origins whose pages may ask (CORS); '*': all; none: no.")
    pages: Annotated[Pages, LIMITS] = Field(
        None, description="Pages of a PDF or TIFF that are looked at: 1,3-5; None: all."
    )
    max_queue: Annotated[int, LIMITS] = Field(64, ge=0, description="Requests that wait; more get 429.")
    served_name: Annotated[str | None, HIDDEN] = Field(
        None, description="Model name that requests give; None: the checkpoint's."
    )
    timeout_s: Annotated[float, HIDDEN] = Field(
        120, gt=0, description="A request that takes longer, waiting included, is answered 503."
    )
    url_timeout_s: Annotated[float, HIDDEN] = Field(10, gt=0, description="Seconds to fetch one image URL.")
    cache_bytes: Annotated[int, HIDDEN] = Field(256 * MIB, ge=0, description="Encodings that each encoder keeps.")
    encode_batch: Annotated[int, HIDDEN] = Field(4, ge=1, description="Images in one pass of the tower, at most.")
    encode_wait_s: Annotated[float, HIDDEN] = Field(0.005, ge=0, description="How long a pass waits for more images.")
    reads_per_reader: Annotated[int, HIDDEN] = Field(8, ge=1, description="Reads sent to one reader at a time.")
    cpus: Annotated[float, HIDDEN] = Field(0.4, gt=0, description="Logical CPUs of each replica.")
    threads: Annotated[int | None, HIDDEN] = Field(
        None, ge=1, description="CPU threads per encoder and reader; None: the CPUs, shared."
    )
    drain_s: Annotated[float, HIDDEN] = Field(
        30, ge=0, description="What is being answered has this long to end when the server closes."
    )

    @model_validator(mode="before")
    @classmethod
    def _parts(cls, values: Any) -> Any:
        """The engine as it opens here, the episode from its settings."""
        looks, values = values.get("episode", {}), _spelled(values)
        engine = settled(choose_engine(values.get("engine")), here=False)
        return {**values, "engine": engine.spec(), "episode": Episode(**looks) if isinstance(looks, dict) else looks}

    @model_validator(mode="after")
    def _check(self) -> "ServeConfig":
        if self.max_readers < self.min_readers:
            raise ConfigError(f"max_readers is {self.max_readers}, below min_readers, which is {self.min_readers}")
        for host in self.url_hosts:
            if "/" in host or host.count(":") == 1:  # as an address or with a port: no URL's host is called so
                raise ConfigError(f"allow_host {host!r} is no host: give its name alone, as in images.example")
        for origin in self.allow_origins:
            parts = urlsplit(origin)
            if origin not in ("*", "null") and origin != f"{parts.scheme}://{parts.netloc}":  # as browsers send it
                raise ConfigError(
                    f"allow_origin {origin!r} is no origin: give scheme and host without a path, as in "
                    "https://app.example, or '*'"
                )
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


def _spelled(values: dict[str, Any]) -> dict[str, Any]:
    """The settings, with those given under a name of `SPELLED` moved to their field."""
    keys, hosts, mib, origins = (values.get(name) for name in SPELLED)
    settings = {name: value for name, value in values.items() if name not in SPELLED}
    if keys is not None:
        if not isinstance(keys, str | Path):
            raise ConfigError(f"api_key_file must be the path of a file; got {keys!r}")
        settings["key_hashes"] = key_hashes(Path(keys))
    if mib is not None:
        if not isinstance(mib, int) or isinstance(mib, bool) or mib < 1:
            raise ConfigError(f"max_request_mib must be a number of MiB, 1 or more; got {mib!r}")
        settings["max_request_bytes"] = mib * MIB
    for name, field, given in (("allow_host", "url_hosts", hosts), ("allow_origin", "allow_origins", origins)):
        if given is not None:
            texts = [given] if isinstance(given, str) else given
            if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
                raise ConfigError(f"{name} must be a text or a list of them; got {given!r}")
            settings[field] = tuple(texts)
    if isinstance(settings.get("pages"), int):  # YAML reads one page as a number
        settings["pages"] = str(settings["pages"])
    return settings


def key_hashes(path: Path) -> tuple[str, ...]:
    """SHA-256 of each key in a file with one key per line; empty lines and lines that begin with # are ignored.

    Raises:
        ConfigError: the file cannot be read, or holds no key.
    """
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the key file {path}: {error}") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"the key file {path} holds no key. Put one key per line, or leave --api-key-file out")
    return tuple(hashed(key) for key in keys)


def hashed(key: str) -> str:
    """SHA-256 (hex) of an API key, the only form in which it is kept."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
