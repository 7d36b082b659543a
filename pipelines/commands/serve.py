"""`saccade serve`: questions over HTTP."""

import typer
from rich.console import Console

from pipelines.commands import options
from pipelines.commands.settings import serve_config
from pipelines.commands.settings import settings as merged
from pipelines.serving import arguments

console = Console()


def serve(
    context: typer.Context,
    host: arguments.Host = "127.0.0.1",
    port: arguments.Port = 8000,
    num_encoders: arguments.NumEncoders = 1,
    max_readers: arguments.MaxReaders = 1,
    api_key_file: arguments.ApiKeyFile = None,
    allow_host: arguments.AllowHost = None,
    max_request_mib: arguments.MaxMib = 32,
    max_image_px: arguments.MaxImagePx = 50_000_000,
    max_images: arguments.MaxImages = 4,
    max_episodes: arguments.MaxEpisodes = 8,
    max_queue: arguments.MaxQueue = 64,
    model: options.Model = "nano",
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    max_px: options.MaxPx = None,
    sampler: options.Sampler = "hybrid",
    scorer: options.Scorer = "query:0.3,edges:0.7",
    planner: options.PlannerName = "query",
    fixations: options.Fixations = 3,
    tokens: options.Tokens = "273",
    glimpse: options.Glimpse = 0,
    levels: options.Levels = 1,
    integrate: options.Integrate = "canvas",
    stop_at: options.StopAt = 0.7,
    config: options.Config = None,
    set: options.Set = None,
) -> None:
    """Serve questions over HTTP on Ray Serve: OpenAI's chat completions at /v1, a page to try it at /.

    How it looks is the default; a request may say otherwise in a `saccade` object. Ctrl-C answers what is being
    answered, then ends.

    Example: saccade serve --port 8000 --model nano
    """
    every = (*options.MODEL_OPTIONS, *options.EPISODE, *arguments.OWN)
    made = merged(config, options.given(context, *every), set)
    chosen = serve_config(made)
    from pipelines.serving.app import run  # Ray Serve: only when settings are right

    run(chosen, host, port, console)
