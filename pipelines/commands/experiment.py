"""`saccade experiment`: several ways of looking on the same questions, as one table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipelines.commands import ROWS_FAILED
from pipelines.commands.options import takes
from pipelines.commands.settings import refuse_unknown
from pipelines.execute.experiment import run_experiment
from pipelines.execute.say import say
from pipelines.reporting.experiments_page import write
from pipelines.reporting.page import report
from pipelines.runs.config import Data, Model
from pipelines.runs.experiment import ALL, Experiment, find_experiment, in_repository, read_experiment
from pipelines.runs.markdown import errors, to_markdown
from saccade.datasets import open_dataset
from saccade.errors import ConfigError, EngineDead, SaccadeError
from saccade.registry import named
from saccade.wording import counted

console = Console()
SETTINGS = ("engine", "dataset", "limit")
"""Settings of an experiment that the command line changes."""


@takes(Model, Data, changes=True)
def experiment(
    configuration: Annotated[
        str, typer.Argument(help="A YAML file, or the name of one in configs/experiments/; all: every one there.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the run: answers/, results.json, table.md.")],
    head: Annotated[
        list[Path] | None, typer.Option(help="Folder of a trained head, which gets a row (`trained`); repeat for more.")
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            min=0, help="Questions quoted of each class of failures; 0: quote none, for data that must not be copied."
        ),
    ] = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Compare ways of looking on the same questions, as one table with intervals.

    Options given here win over the file's settings. It first prints how many answers are needed; after the
    first image it estimates the time. If interrupted, it makes the table of what is done, and continues when
    started again with the same --output. `all` answers each experiment in OUTPUT/NAME, one after the other,
    and writes one report of them: OUTPUT/report.html and report.md.

    Exit status: 0 done; 2 it could not run; 3 some answers are errors, or `all` left an experiment out, and it
    says which; 130 it was stopped.

    Example: saccade experiment real --model Qwen/Qwen2.5-VL-7B-Instruct --dataset docvqa --output runs/real
    """
    refuse_unknown(settings, SETTINGS)
    if configuration == ALL:
        if head or examples is not None:
            raise ConfigError(f"`experiment {ALL}` takes neither --head nor --examples: give them to one experiment")
        everything(output, settings)
        return
    chosen = changed(read_experiment(find_experiment(configuration)), settings)
    if head:
        chosen = chosen.with_heads(head)
    if examples is not None:
        if chosen.failures is None:
            raise ConfigError("--examples: this experiment tells no failures (`failures:`); `failures` does")
        chosen = chosen.with_settings(failures=chosen.failures.with_settings(examples=examples).dump())
    results = run_experiment(chosen, output, console)
    say(console, to_markdown(results))
    if left := results.get("images_left"):
        raise KeyboardInterrupt(f"interrupted: {counted(left, 'image')} left")
    if errors(results):
        raise typer.Exit(ROWS_FAILED)


def everything(output: Path, settings: Mapping[str, Any]) -> None:
    """Every experiment of configs/experiments/, each on its own data, and one report; what is done stays done.

    One that cannot run, or whose folder another process writes to, is left out and named at the end.

    Raises:
        ConfigError: other data are asked for: each experiment is about its own. Or none of them can run.
        EngineDead: the engine is gone.
        KeyboardInterrupt: interrupted; what is done stays.
        Exit: some were left out, or hold errors.
    """
    if "dataset" in settings:
        raise ConfigError(f"`experiment {ALL}` is on the data of each experiment: leave --dataset and its settings out")
    experiments, left_out, failed = in_repository(), dict[str, SaccadeError](), dict[str, str]()
    for number, (name, path) in enumerate(experiments.items(), 1):
        say(console, f"{number} of {len(experiments)}: {name}")
        try:
            results = run_experiment(changed(read_experiment(path), settings), output / name, console)
            report(output / name, None, examples=0)
        except EngineDead:
            raise
        except SaccadeError as error:
            left_out[name] = error
            say(console, f"left out: {error}", style="yellow")
            continue
        if told := errors(results):
            failed[name] = told
        written = write(output)  # after each: an interrupted one has a report too
        if results.get("images_left"):
            raise KeyboardInterrupt(f"interrupted at {name}: the same command goes on in {output}")
    if len(left_out) == len(experiments):
        none = f"{counted(len(experiments), 'experiment')}, and none ran"
        raise ConfigError(f"{none}. The first: {next(iter(left_out.values()))}")
    html, text = written
    say(console, f"{counted(len(experiments) - len(left_out), 'experiment')}: {html} and {text}")
    for name, why in left_out.items():
        say(console, f"left out: {name}: {why}")
    for name, told in failed.items():
        say(console, f"errors: {name}: {told}")
    if left_out or failed:
        raise typer.Exit(ROWS_FAILED)


def changed(experiment: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """The experiment with another model, or other data: the data set that is named, or other settings of its own.

    Raises:
        ConfigError: there is no such data, or a setting is wrong.
    """
    changes: dict[str, Any] = {key: settings[key] for key in ("limit",) if key in settings}
    if "engine" in settings:
        changes["engine"] = experiment.engine | named("engines", settings["engine"])
    if "dataset" in settings:
        spec = named("datasets", settings["dataset"])
        name = spec.pop("name", None)
        changes["dataset"] = experiment.dataset | spec if name is None else open_dataset(str(name), **spec).spec()
    if "engine" in changes or "dataset" in changes:
        engine, data = changes.get("engine", experiment.engine), changes.get("dataset", experiment.dataset)
        changes["title"] = f"{data['name']}, {engine.get('model', 'saccade-nano')}"
    return experiment.with_settings(**changes)
