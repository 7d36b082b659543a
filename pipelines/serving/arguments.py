"""The options of `saccade serve` that no other command has, and how options become a `ServeConfig`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # it brings torch, and every command reads this file
    from pipelines.serving.settings import ServeConfig

WHERE, LIMITS = "Where it serves", "What it refuses"

Host = Annotated[
    str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines ask.", rich_help_panel=WHERE)
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.", rich_help_panel=WHERE)]
NumEncoders = Annotated[int, typer.Option(min=1, help="Encoder replicas.", rich_help_panel=WHERE)]
MaxReaders = Annotated[
    int, typer.Option(min=1, help="Reader replicas at most: they come and go with the load.", rich_help_panel=WHERE)
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(help="File of accepted API keys, one a line (default: no key is asked).", rich_help_panel=LIMITS),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST", help="A host that image URLs may name; may be repeated (default: none).", rich_help_panel=LIMITS
    ),
]
MaxMib = Annotated[
    int, typer.Option(min=1, help="MiB of a request, images in base64 included.", rich_help_panel=LIMITS)
]
MaxImagePx = Annotated[int, typer.Option(min=1, help="Pixels of one image.", rich_help_panel=LIMITS)]
MaxImages = Annotated[int, typer.Option(min=1, help="Images of one request.", rich_help_panel=LIMITS)]
MaxEpisodes = Annotated[
    int, typer.Option(min=1, help="Requests looked at together; others wait.", rich_help_panel=LIMITS)
]
MaxQueue = Annotated[int, typer.Option(min=0, help="Requests that wait; more get 429.", rich_help_panel=LIMITS)]

OWN = ("num_encoders", "max_readers", "max_image_px", "max_images", "max_episodes", "max_queue")
"""Options that are settings of the same name."""


def serve_config(
    made: dict[str, Any], model: Mapping[str, Any], engine: str, own: Mapping[str, Any], more: Mapping[str, Any]
) -> "ServeConfig":
    """A `ServeConfig` from the settings of an episode (with `engine.` and an endpoint's settings of a file among them).

    `more` holds api_key_file, allow_host and max_request_mib where they were given.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    from pydantic import ValidationError

    from pipelines.engine import chosen_engine
    from pipelines.resolve import episode
    from pipelines.serving.settings import MIB, ServeConfig, key_hashes
    from saccade.errors import ConfigError
    from saccade.registry import named, validation_text

    kept = {key: made.pop(key) for key in ServeConfig.model_fields if key in made and key not in ("episode", "engine")}
    settings = named("engines", made.pop("engine", {}))
    if engine != "auto":
        settings["name"] = engine
    if more.get("api_key_file") is not None:
        kept["key_hashes"] = key_hashes(more["api_key_file"])
    if more.get("allow_host") is not None:
        kept["url_hosts"] = tuple(more["allow_host"])
    if more.get("max_request_mib") is not None:
        kept["max_request_bytes"] = more["max_request_mib"] * MIB
    try:
        spec = chosen_engine({**settings, **model}).spec()
        return ServeConfig(**{**kept, **own}, engine=spec, episode=episode(made))
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(ServeConfig.model_fields)}") from error
