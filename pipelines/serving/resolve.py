"""From a dict of settings (`pipelines.options.settings`) to an endpoint, checked as a whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.engine import settled
from pipelines.resolve import episode, refuse_unknown
from pipelines.serving.settings import MIB, ServeConfig, key_hashes
from saccade.config import Episode
from saccade.errors import ConfigError
from saccade.registry import validation_text

SHORT = ("api_key_file", "allow_host", "max_request_mib")
"""Options whose settings have other names."""


def serve_config(made: Mapping[str, Any]) -> ServeConfig:
    """What `saccade serve` is set to.

    Raises:
        ConfigError: a setting is unknown or out of range, the key file holds none, or the engine is not there.
    """
    own = [key for key in ServeConfig.model_fields if key != "episode"]
    refuse_unknown(made, [*Episode.model_fields, *own, *SHORT])
    kept = {key: made[key] for key in own if key in made}
    if made.get("api_key_file") is not None:
        kept["key_hashes"] = key_hashes(Path(made["api_key_file"]))
    if made.get("allow_host") is not None:
        kept["url_hosts"] = tuple(made["allow_host"])
    if made.get("max_request_mib") is not None:
        kept["max_request_bytes"] = made["max_request_mib"] * MIB
    looks = episode({key: made[key] for key in made if key in Episode.model_fields})
    try:
        config = ServeConfig(**kept, episode=looks)
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(ServeConfig.model_fields)}") from error
    settled(config.engine_spec, here=True)  # a device that is not here is refused now
    return config
