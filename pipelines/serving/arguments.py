"""The options of `saccade serve` that no other command has. Light: the command line imports it for every command."""

from pathlib import Path
from typing import Annotated

import typer

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

OWN = (
    "num_encoders",
    "max_readers",
    "max_image_px",
    "max_images",
    "max_episodes",
    "max_queue",
    "api_key_file",
    "allow_host",
    "max_request_mib",
)
"""Options of `saccade serve` alone; most are settings of the same name."""
