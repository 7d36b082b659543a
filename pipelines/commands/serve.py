"""`saccade serve`: questions over HTTP."""

from typing import Annotated, Any

import typer
from rich.console import Console

from pipelines.commands.options import takes
from pipelines.commands.settings import serve_config
from pipelines.serving.settings import ServeConfig

console = Console()


@takes(ServeConfig)
def serve(
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; 0.0.0.0 lets other machines ask.", rich_help_panel=ServeConfig.panel),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port to listen on.", rich_help_panel=ServeConfig.panel)
    ] = 8000,
    *,
    settings: dict[str, Any],
) -> None:
    """Serve questions over HTTP on Ray Serve: OpenAI's chat completions at /v1, a page to try it at /.

    How it looks is the default; a request may say otherwise in a `saccade` object. Ctrl-C and SIGTERM answer
    what is being answered, then end.

    Example: saccade serve --port 8000 --model nano
    """
    chosen = serve_config(settings)
    from pipelines.serving.app import run  # Ray Serve: only when the settings are right

    run(chosen, host, port, console)
