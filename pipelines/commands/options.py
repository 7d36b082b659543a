"""The options that several commands share, written once."""

from pathlib import Path
from typing import Annotated, Any

import typer

LOOK, MODEL, DATA, RUN = "How it looks", "Model", "What it answers", "Where it runs"

DataSet = Annotated[
    str,
    typer.Option(
        help="A name (`saccade list datasets`) or a path: questions.jsonl, a Parquet file or folder of them, or a "
        "folder of images with --question.",
        rich_help_panel=DATA,
    ),
]
DataPath = Annotated[
    Path | None, typer.Option(help="Where the named data set lies on this machine.", rich_help_panel=DATA)
]
Question = Annotated[str | None, typer.Option(help="What to ask of every image of a folder.", rich_help_panel=DATA)]
Limit = Annotated[
    int | None,
    typer.Option(min=1, help="Questions at most: the first ones, image by image.", rich_help_panel=DATA),
]
PagePx = Annotated[int, typer.Option(min=256, help="Longest side of generated pages (synthdoc).", rich_help_panel=DATA)]
Output = Annotated[Path | None, typer.Option(help="Folder of the run (default: runs/DATASET).", rich_help_panel=RUN)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --output.", rich_help_panel=RUN)]
RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="With --resume: do images with error rows again.", rich_help_panel=RUN)
]
NumEncoders = Annotated[int, typer.Option(min=1, help="Actors that encode images.", rich_help_panel=RUN)]
NumReaders = Annotated[int, typer.Option(min=1, help="Actors that answer.", rich_help_panel=RUN)]
EncoderGpus = Annotated[
    float | None,
    typer.Option(
        min=0, help="GPUs per encoder, 0.5 for half of one (default: all there are, shared).", rich_help_panel=RUN
    ),
]
ReaderGpus = Annotated[
    float | None, typer.Option(min=0, help="GPUs per reader (default: all there are, shared).", rich_help_panel=RUN)
]
Address = Annotated[
    str | None,
    typer.Option(
        help="A Ray cluster: auto or host:port (default: this machine). --output, the data and a checkpoint folder "
        "must be on storage that all its nodes share, under the same path.",
        rich_help_panel=RUN,
    ),
]

Model = Annotated[
    str, typer.Option(help="'nano' (bundled), a checkpoint folder, or a name on the hub.", rich_help_panel=MODEL)
]
Engine = Annotated[
    str,
    typer.Option(help="hf (transformers), vllm, or auto: vllm where it and a GPU are there.", rich_help_panel=MODEL),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...", rich_help_panel=MODEL)]
MaxPx = Annotated[
    int | None,
    typer.Option(help="Pixels an image is scaled to at most (default: the checkpoint's).", rich_help_panel=MODEL),
]
Sampler = Annotated[
    str,
    typer.Option(
        help="Which tokens a look keeps (see `saccade list samplers`), or the baselines full and resize.",
        rich_help_panel=LOOK,
    ),
]
Scorer = Annotated[
    str, typer.Option(help="NAME[:weight],...: what is worth looking at (`list importance`).", rich_help_panel=LOOK)
]
PlannerName = Annotated[
    str,
    typer.Option("--planner", help="Where to look next: query, uncertainty, saliency, slots.", rich_help_panel=LOOK),
]
Fixations = Annotated[int, typer.Option(min=1, help="Looks per question, at most.", rich_help_panel=LOOK)]
Tokens = Annotated[
    str,
    typer.Option(
        metavar="N|MODE",
        help="Visual tokens per fixation: a number; tiny (73), small (111), base (273), large (421); auto: 180 to 456 "
        "by the picture, capped by `--set budget.most=365`.",
        rich_help_panel=LOOK,
    ),
]
Glimpse = Annotated[
    int, typer.Option(min=0, help="Coarse tokens of the whole image that open the canvas.", rich_help_panel=LOOK)
]
Levels = Annotated[
    int, typer.Option(min=1, help="Sizes the image is encoded at, up to 4: 1, 1/2, 1/4, 1/8.", rich_help_panel=LOOK)
]
Encoder = Annotated[
    str, typer.Option(help="full: the whole image; lazy: the windows where it looks.", rich_help_panel=LOOK)
]
CanvasKind = Annotated[
    str,
    typer.Option("--canvas", help="private: one canvas a question; shared: one an image.", rich_help_panel=LOOK),
]
CanvasCap = Annotated[int, typer.Option(min=1, help="Visual tokens on a shared canvas, at most.", rich_help_panel=LOOK)]
Integrate = Annotated[
    str, typer.Option(help="How the answers become one: canvas, weighted, confident.", rich_help_panel=LOOK)
]
StopAt = Annotated[
    float, typer.Option(help="Stop looking when this sure of the answer; above 1: never.", rich_help_panel=LOOK)
]
Config = Annotated[
    Path | None,
    typer.Option(help="YAML with any of the settings; options given here win.", exists=True, dir_okay=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Any setting by its dotted name: sampler.ratio=0.6, engine.dtype=float32."),
]


EPISODE = (
    "sampler",
    "scorer",
    "planner",
    "fixations",
    "tokens",
    "glimpse",
    "levels",
    "encoder",
    "canvas",
    "canvas_cap",
    "integrate",
    "stop_at",
)
"""Options that decide how an image is looked at."""

MODEL_OPTIONS = ("engine", "model", "device", "max_px")
DATA_OPTIONS = ("dataset", "data_path", "question", "page_px")  # the data set first: another one drops the file's

RUN_OPTIONS = (
    "limit",
    "output",
    "resume",
    "retry_errors",
    "num_encoders",
    "num_readers",
    "encoder_gpus",
    "reader_gpus",
    "address",
)


def given(context: typer.Context, *names: str) -> dict[str, Any]:
    """The named parameters that were really given on the command line: defaults must not overrule a config file."""
    source = context.get_parameter_source
    return {
        name: context.params[name]
        for name in names
        if name in context.params and str(getattr(source(name), "name", "")) != "DEFAULT"
    }
