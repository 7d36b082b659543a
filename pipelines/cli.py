"""The command line. Every command is thin: it reads options, calls the library or a pipeline, and prints.

`saccade COMMAND --help` explains a command by itself. Commands import what they need when they run: help comes at once,
and `saccade doctor` runs where a package is missing.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines import analyze, eye, measuring, options, seeing
from pipelines.exits import Commands, expected
from pipelines.serving import arguments

app = typer.Typer(
    cls=Commands,
    help="Answers questions about high-resolution images with a fixed budget of visual tokens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
train = typer.Typer(help="Train the models that saccade ships.", no_args_is_help=True)
app.add_typer(train, name="train")
console = Console()

FOLDERS = {"pictures": "viz.pictures"}
KINDS = tuple("samplers importance planners budgets integration reduction datasets families engines pictures".split())
"""What `saccade list` lists: the folders of saccade/ of that name, or of the one in FOLDERS."""


@app.command()
def ask(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(help="The picture.", exists=True, dir_okay=False)],
    question: Annotated[str, typer.Argument(help="The question about it.")],
    trace: Annotated[
        Path | None, typer.Option(help="Draw where it looked into this PNG: tokens, numbered gazes, importance.")
    ] = None,
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
    encoder: options.Encoder = "full",
    integrate: options.Integrate = "canvas",
    stop_at: options.StopAt = 0.7,
    config: options.Config = None,
    set: options.Set = None,
) -> None:
    """Answer one question about one image, and say where it looked.

    Example: saccade ask page.png "What is the total?" --fixations 3 --trace looked.png
    """
    made = options.settings(config, options.given(context, *options.MODEL_OPTIONS, *options.EPISODE), set)
    from pipelines.resolve import asking

    looks, spec = asking(made)
    from pipelines.ask import ask as run

    run(image, question, spec, looks, trace, console)


@app.command()
def batch(
    context: typer.Context,
    dataset: options.DataSet = "synthdoc",
    data_path: options.DataPath = None,
    question: options.Question = None,
    limit: options.Limit = None,
    page_px: options.PagePx = 1024,
    output: options.Output = None,
    resume: options.Resume = False,
    retry_errors: options.RetryErrors = False,
    num_encoders: options.NumEncoders = 1,
    num_readers: options.NumReaders = 1,
    encoder_gpus: options.EncoderGpus = None,
    reader_gpus: options.ReaderGpus = None,
    address: options.Address = None,
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
    encoder: options.Encoder = "full",
    canvas: options.CanvasKind = "private",
    canvas_cap: options.CanvasCap = 1638,
    integrate: options.Integrate = "canvas",
    stop_at: options.StopAt = 0.7,
    config: options.Config = None,
    set: options.Set = None,
) -> None:
    """Answer all questions of a data set on Ray: each image is encoded once, a bad one costs its own rows.

    Writes OUTPUT/answers/*.parquet (one row a question), summary.json and run.yaml. Killed at any moment, the same
    command with --resume goes on and answers every question exactly once.

    Example: saccade batch --dataset synthdoc --limit 32 --output runs/demo
    """
    from pipelines.batch import batch as run
    from pipelines.report import table
    from pipelines.resolve import run_config

    every = (*options.DATA_OPTIONS, *options.RUN_OPTIONS, *options.MODEL_OPTIONS, *options.EPISODE)
    chosen = run_config(options.settings(config, options.given(context, *every), set))
    summary = run(chosen, Console(stderr=True))
    console.print(table(summary))
    console.print(f"answers, summary.json and run.yaml are in {chosen.output}", highlight=False, soft_wrap=True)


@app.command()
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
    made = options.settings(config, options.given(context, *every), set)
    from pipelines.serving.resolve import serve_config

    chosen = serve_config(made)
    from pipelines.serve import run

    run(chosen, host, port, console)


app.command()(seeing.show)
app.command()(seeing.report)
app.command()(eye.eye)
app.command()(analyze.analyze)
app.command()(measuring.experiment)


@app.command(name="list")
def list_(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}.")] = "",
) -> None:
    """List what can be named in options and configurations: one name per line, then its sentence.

    Without KIND all kinds are listed.
    """
    from saccade.errors import ConfigError
    from saccade.registry import names, sentence

    if kind and kind not in KINDS:
        raise ConfigError(f"no kind {kind!r}. There are: {', '.join(KINDS)}")
    for each in (kind,) if kind else KINDS:
        folder = FOLDERS.get(each, each)
        found = names(folder)
        indent = "" if kind else "  "
        if not kind:
            typer.echo(f"{each}:")
        width = max(map(len, found))
        for name in found:
            typer.echo(f"{indent}{name:<{width}}  {sentence(folder, name)}")


@train.command(name="nano")
def train_nano(
    output: Annotated[Path, typer.Option(help="Folder of checkpoints and of the result (OUTPUT/checkpoint).")],
    init: Annotated[
        str | None, typer.Option(help="Checkpoint to start from: 'nano' or a folder (default: fresh weights).")
    ] = None,
    size: Annotated[str, typer.Option(help="Preset of widths and depths: tiny, nano, wide.")] = "nano",
    device: options.Device = "auto",
    seed: Annotated[int, typer.Option(help="Of weights and pages. Validation seeds are refused.")] = 1,
    set: options.Set = None,
) -> None:
    """Train the bundled model on documents generated here: characters first, then where to look, then both.

    Interrupted at any moment, the same command goes on where it was. --set reaches every setting:
    dense_steps, point_steps, joint_steps (0 leaves a phase out), crops, pages, the learning rates, processes, workers.

    Example: saccade train nano --output runs/nano --init nano --set dense_steps=0
    """
    from pydantic import ValidationError

    from saccade.engines.hf import checkpoint
    from saccade.errors import ConfigError
    from saccade.registry import validation_text
    from saccade.training.nano import NanoTraining, train

    made = {"size": size, "device": device, "seed": seed, "init": None if init is None else checkpoint(init)}
    try:
        chosen = NanoTraining(**{**made, **dict(options.pairs(set))})
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(NanoTraining.model_fields)}") from error
    train(chosen, output)


@app.command()
def doctor(
    verify: Annotated[bool, typer.Option("--verify", help="Read a page with vLLM and with transformers.")] = False,
    model: Annotated[str, typer.Option("--model", help="The model that --verify reads with.")] = "nano",
) -> None:
    """Say what is installed, which engine would be used, what is missing, and the command that fixes it.

    With --verify, also whether vLLM reads a page as transformers does, here and with your model: the same
    log-probabilities for all tokens and for fixations that grow a canvas.

    Example: saccade doctor --verify --model Qwen/Qwen2.5-VL-7B-Instruct
    """
    from pipelines.doctor import examine

    status = examine(console)
    if verify:
        from pipelines.verify import verify as compare

        status = max(status, compare(model, console))
    raise typer.Exit(status)


def main() -> None:
    """Entry point: expected errors are one line on stderr and exit code 2; Ctrl-C is 130."""
    try:
        app()
    except Exception as error:
        if (text := expected(error)) is None:
            raise
        console = Console(stderr=True, highlight=False)
        console.print("[red]error:[/red]", end=" ")
        console.print(text, markup=False, soft_wrap=True)
        sys.exit(2)
