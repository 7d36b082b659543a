"""Train the models that saccade ships, and the small modules that scorers, budgets and reductions are made of."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from pipelines.commands.options import SET, passed_on
from pipelines.commands.settings import pairs
from saccade.engines import checkpoint
from saccade.errors import ConfigError
from saccade.registry import validation_text
from saccade.training.nano import NanoTraining
from saccade.training.nano import train as run

train = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

MODULES = {
    "gaze": "gaze",
    "head": "importance",
    "levels": "levels",
    "codec": "compression",
    "calibration": "calibrate",
    "quantiles": "quantiles",
}
"""Commands whose options are those of a module of saccade/training, which runs alone as well (`python -m`)."""

for name_, module_ in MODULES.items():
    passed_on(train, name_, f"train {name_}", f"saccade.training.{module_}")


@train.command()
def nano(
    output: Annotated[Path, typer.Option(help="Folder of checkpoints and of the result (OUTPUT/checkpoint).")],
    init: Annotated[
        str | None, typer.Option(help="Checkpoint to start from: 'nano' or a folder (default: fresh weights).")
    ] = None,
    size: Annotated[str, typer.Option(help="Preset of widths and depths: tiny, nano, wide.")] = "nano",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    seed: Annotated[int, typer.Option(help="Of weights and pages. Validation seeds are refused.")] = 1,
    set: SET = None,
) -> None:
    """Train the bundled model on documents generated here: characters first, then where to look, then both.

    Interrupted at any moment, the same command goes on where it was. --set reaches every setting:
    dense_steps, point_steps, joint_steps (0 leaves a phase out), crops, pages, the learning rates, processes, workers.

    Example: saccade train nano --output runs/nano --init nano --set dense_steps=0
    """
    made = {"size": size, "device": device, "seed": seed, "init": None if init is None else checkpoint(init)}
    try:
        chosen = NanoTraining(**{**made, **dict(pairs(set))})
    except ValidationError as error:
        raise ConfigError(f"{validation_text(error)}. Settings: {', '.join(NanoTraining.model_fields)}") from error
    run(chosen, output)
