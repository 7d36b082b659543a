"""The options that several commands share, written once, and how a file, they and --set become one dict of settings.

`pipelines.resolve` makes of that dict what a command runs. Nothing of saccade is imported before it is needed:
`saccade doctor` must run where a package is missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

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

SHORT = {
    "tokens": "budget.tokens",
    "model": "engine.model",
    "device": "engine.device",
    "max_px": "engine.max_px",
    "data_path": "dataset.data_path",
    "question": "dataset.question",
    "page_px": "dataset.page_px",
}
"""Settings inside another one that have a name of their own: as options, in files and in --set."""

NAMED = ("sampler", "planner", "budget", "integrate", "dataset", "engine")
"""Settings that are a name with settings of its own."""


def given(context: typer.Context, *names: str) -> dict[str, Any]:
    """The named parameters that were really given on the command line: defaults must not overrule a config file."""
    source = context.get_parameter_source
    return {
        name: context.params[name]
        for name in names
        if name in context.params and str(getattr(source(name), "name", "")) != "DEFAULT"
    }


def settings(config: Path | None, options: Mapping[str, Any], sets: Sequence[str] | None) -> dict[str, Any]:
    """One nested dict of settings: the config file, overruled by options, overruled by --set.

    Raises:
        ConfigError: the file is no YAML mapping, or an entry of --set is no KEY=VALUE.
    """
    made: dict[str, Any] = {}
    loaded = {} if config is None else _read(config)
    for key in sorted(loaded, key=SHORT.__contains__):  # `engine: {...}` must not undo the `model: ...` above it
        put(made, SHORT.get(key, key), loaded[key])
    for key, value in options.items():
        put(made, SHORT.get(key, key), value)
    for key, value in pairs(sets):
        put(made, SHORT.get(key, key), value)
    return made


def _read(config: Path) -> dict[str, Any]:
    from saccade.errors import ConfigError

    try:
        loaded = yaml.safe_load(config.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{config} is not YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        raise ConfigError(f"{config} is empty; it must hold `key: value` lines, as in `fixations: 2`")
    if not isinstance(loaded, dict):
        raise ConfigError(f"{config} must hold `key: value` lines; it holds {loaded!r:.60}")
    return {str(key): value for key, value in loaded.items()}


def pairs(sets: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """The entries of --set.

    Raises:
        ConfigError: one is no KEY=VALUE, or its value is no YAML.
    """
    from saccade.errors import ConfigError

    for entry in sets or []:
        key, equals, value = entry.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set takes KEY=VALUE, as in --set sampler.ratio=0.6; got {entry!r}")
        try:
            yield key, yaml.safe_load(value)
        except yaml.YAMLError as error:
            reason = " ".join(str(getattr(error, "problem", None) or error).split())
            raise ConfigError(f"--set {entry!r}: the value is read as YAML, and is none: {reason}") from error


def put(made: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets a nested key. A name given again keeps the settings beside it, another name drops them."""
    from saccade.errors import ConfigError
    from saccade.registry import named

    head, _, rest = dotted.partition(".")
    if dotted == SHORT["tokens"]:
        made[head] = _budget(made.get(head, default(head)), value)
    elif rest:
        before = made[head] if head in made else default(head)
        if not isinstance(before, str | Mapping):
            raise ConfigError(f"no setting {dotted!r}: {head} is {before!r} and has no settings of its own")
        inner = dict(named(head, before))
        if rest == "name" and head in NAMED and head != "engine" and value != inner.get("name"):
            inner = {}
        put(inner, rest, value)
        made[head] = inner
    elif head == "engine" and isinstance(value, str):
        put(made, "engine.name", value)  # all engines have a model: another one reads it as well
    elif not (head in NAMED and head in made and isinstance(value, str) and _name(made[head]) == value):
        made[head] = value


def _budget(before: Any, tokens: Any) -> dict[str, Any]:
    """The budget that --tokens asks for: auto is `adaptive`, a number or a mode one that takes it, else `fixed`."""
    from saccade.budgets import Budget
    from saccade.registry import find, named

    kept = named("budgets", before)
    if tokens == "auto":
        return kept if kept.get("name") == "adaptive" else {"name": "adaptive"}
    if "tokens" not in find("budgets", str(kept.get("name")), Budget).model_fields:
        kept = {"name": "fixed"}
    return {**kept, "tokens": int(tokens) if isinstance(tokens, str) and tokens.isdecimal() else tokens}


def _name(spec: Any) -> Any:
    return spec.get("name") if isinstance(spec, Mapping) else spec


def default(key: str) -> Any:
    """What `--set sampler.ratio=0.6` alone is a setting of."""
    from saccade.config import Episode

    if key in NAMED and key in Episode.model_fields:
        return Episode.model_fields[key].default
    return "synthdoc" if key == "dataset" else {}
