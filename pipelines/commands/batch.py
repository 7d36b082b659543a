"""`saccade batch`: all questions of a data set."""

import typer
from rich.console import Console

from pipelines.commands import options
from pipelines.commands.settings import run_config
from pipelines.commands.settings import settings as merged
from pipelines.execute.run import batch as run
from pipelines.reporting.summary_table import table

console = Console()


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
    every = (*options.DATA_OPTIONS, *options.RUN_OPTIONS, *options.MODEL_OPTIONS, *options.EPISODE)
    chosen = run_config(merged(config, options.given(context, *every), set))
    summary = run(chosen, Console(stderr=True))
    console.print(table(summary))
    console.print(f"answers, summary.json and run.yaml are in {chosen.output}", highlight=False, soft_wrap=True)
