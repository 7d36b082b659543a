"""The options that several commands share, written once, and how they become an `Episode` and an engine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from pipelines.run_config import RunConfig
from saccade.config import Episode
from saccade.datasets import open_dataset
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.registry import names, validation_text

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
Limit = Annotated[int | None, typer.Option(min=1, help="Questions at most.", rich_help_panel=DATA)]
PagePx = Annotated[int, typer.Option(min=256, help="Longest side of generated pages (synthdoc).", rich_help_panel=DATA)]
Output = Annotated[Path | None, typer.Option(help="Folder of the run (default: runs/DATASET).", rich_help_panel=RUN)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --output.", rich_help_panel=RUN)]
RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="With --resume: do images with error rows again.", rich_help_panel=RUN)
]
NumEncoders = Annotated[int, typer.Option(min=1, help="Actors that encode images.", rich_help_panel=RUN)]
NumReaders = Annotated[int, typer.Option(min=1, help="Actors that answer.", rich_help_panel=RUN)]
Address = Annotated[
    str | None, typer.Option(help="A Ray cluster: auto or host:port (default: this machine).", rich_help_panel=RUN)
]

Model = Annotated[
    str, typer.Option(help="'nano' (bundled), a checkpoint folder, or a name on the hub.", rich_help_panel=MODEL)
]
Engine = Annotated[str, typer.Option(help="auto or hf (transformers).", rich_help_panel=MODEL)]
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
    str, typer.Option("--planner", help="Where to look next: query, uncertainty, saliency.", rich_help_panel=LOOK)
]
Fixations = Annotated[int, typer.Option(min=1, help="Looks per question, at most.", rich_help_panel=LOOK)]
Tokens = Annotated[int, typer.Option(min=1, help="Visual tokens per fixation.", rich_help_panel=LOOK)]
Glimpse = Annotated[
    int, typer.Option(min=0, help="Coarse tokens of the whole image that open the canvas.", rich_help_panel=LOOK)
]
CanvasKind = Annotated[
    str,
    typer.Option("--canvas", help="private: one canvas a question; shared: one an image.", rich_help_panel=LOOK),
]
CanvasCap = Annotated[int, typer.Option(min=1, help="Visual tokens on a shared canvas, at most.", rich_help_panel=LOOK)]
Integrate = Annotated[
    str, typer.Option(help="How the answers become one: canvas, weighted, confident.", rich_help_panel=LOOK)
]
StopAt = Annotated[float, typer.Option(help="Stop looking at this confidence; above 1: never.", rich_help_panel=LOOK)]
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
    "canvas",
    "canvas_cap",
    "integrate",
    "stop_at",
)
"""Options that decide how an image is looked at."""


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
    if config is not None:
        try:
            loaded = yaml.safe_load(config.read_text())
        except yaml.YAMLError as error:
            raise ConfigError(f"{config} is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(loaded, dict):
            raise ConfigError(f"{config} must hold `key: value` lines; it holds {type(loaded).__name__}")
        made.update(loaded)
    for key, value in options.items():
        put(made, "budget.tokens" if key == "tokens" else key, value)
    for entry in sets or []:
        key, equals, value = entry.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set takes KEY=VALUE, as in --set sampler.ratio=0.6; got {entry!r}")
        put(made, key, yaml.safe_load(value))
    return made


DEFAULTS = {key: Episode.model_fields[key].default for key in ("sampler", "planner", "budget", "integrate")}
"""What `--set sampler.ratio=0.6` alone is a setting of."""


def put(made: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets a nested key; a strategy given by its bare name becomes `{"name": ...}` when one of its settings is set."""
    head, _, rest = dotted.partition(".")
    if not rest:
        made[head] = value
        return
    inner = made.get(head, DEFAULTS.get(head, {}))
    made[head] = inner = {"name": inner} if isinstance(inner, str) else dict(inner)
    put(inner, rest, value)


def episode(made: Mapping[str, Any]) -> Episode:
    """An `Episode` from settings.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    try:
        return Episode(**made)
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(Episode.model_fields)}") from error


def hf(given: Mapping[str, Any], made: Mapping[str, Any]) -> HF:
    """The transformers engine from options and the `engine.` settings of a configuration.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    try:
        return HF(**{**made, **given})
    except ValidationError as error:
        raise ConfigError(f"engine: {validation_text(error)}. Settings: {', '.join(HF.model_fields)}") from error


def run_config(
    made: dict[str, Any], run: Mapping[str, Any], model: Mapping[str, Any], data: Mapping[str, Any], engine: str
) -> RunConfig:
    """A `RunConfig` from the settings of an episode (with `engine.`, `dataset.` and run settings of a file among them).

    Raises:
        ConfigError: a setting is unknown or out of range, or the engine cannot run here.
    """
    if engine not in ("auto", "hf"):
        raise ConfigError(f"no engine {engine!r} here. There are: auto, {', '.join(names('engines'))}")
    listed = dict(made.pop("dataset", {"name": "synthdoc"}))
    name = data.get("dataset", listed.pop("name", "synthdoc"))
    if "dataset" in data:
        listed = {}
    given = {"data_path": None, "question": None, **{key: data[key] for key in data if key != "dataset"}}
    opened = open_dataset(str(name), **{**listed, **given})
    kept = {key: made.pop(key) for key in RunConfig.model_fields if key in made and key != "episode"}
    kept["engine"] = hf(model, kept.get("engine", {}))
    output = run.get("output", kept.get("output", Path("runs") / (Path(str(name)).stem or "run")))
    try:
        return RunConfig(**{**kept, **run, "output": output, "dataset": opened.spec(), "episode": episode(made)})
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(RunConfig.model_fields)}") from error
