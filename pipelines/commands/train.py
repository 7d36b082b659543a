"""Train the models that saccade ships, and the small modules that scorers, budgets and reductions are made of."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from pipelines.commands.options import SET, passed_on, takes
from pipelines.commands.settings import pairs
from pipelines.runs.config import Data, Model
from pipelines.runs.engine import settled
from saccade.card import CARD_FILE
from saccade.datasets import Dataset, Row, limit, open_dataset
from saccade.engines import checkpoint, choose_engine
from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError
from saccade.families import fingerprint
from saccade.files import write_text
from saccade.registry import checked, named
from saccade.settings import Settings
from saccade.training import budget_costs, importance, joint, reward
from saccade.training import gates as gate_training
from saccade.training import keep as keep_training
from saccade.training.calibration import as_json, calibrate, summary
from saccade.training.maps import Maps
from saccade.training.nano import NanoTraining
from saccade.training.nano import train as run
from saccade.viz.training import draw_curve

C = TypeVar("C", bound="Training")
S = TypeVar("S", bound=Settings)


class Training(Data, Model):
    """Settings shared by all trainings of small modules: the data, and the model that encodes it."""


train = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

MODULES = {
    "average": "average",
    "card": "card",
    "gaze": "gaze",
    "levels": "levels",
    "codec": "compression",
    "projection": "projection",
    "quantiles": "quantiles",
}
"""Commands whose options are declared by a module of saccade/training, which also runs alone (`python -m`)."""


def draw_result(result: Any) -> None:
    """Draws the learning curve of a training whose result names the folder it wrote to."""
    if isinstance(result, dict) and "folder" in result:
        draw_curve(Path(result["folder"]))


for name_, module_ in MODULES.items():
    passed_on(train, name_, f"train {name_}", f"saccade.training.{module_}", draw_result)


OWN_PAGES = {"split": "train", "seed": 500, "num_pages": 80, "page_px": 512}
"""Generated pages to train on by default; never those that tables score."""
BOTH_SIZES = {
    "name": "mixed",
    "parts": {f"{px}": {"name": "synthdoc", "seed": 1000, "num_pages": 16, "page_px": px} for px in (512, 1024)},
}
"""Pages a checkpoint is measured on by default: used by no training and no table."""


class HeadConfig(Training, importance.HeadSettings, reward.RewardSettings):
    """Settings of the training of a head."""


@train.command()
@takes(HeadConfig, leave_out=("engine",), defaults={"page_px": OWN_PAGES["page_px"]})
def head(
    output: Annotated[Path, typer.Option("--output", "--out", help="Folder of the head, its curve and its state.")],
    *,
    settings: dict[str, Any],
) -> None:
    """Train a scorer to look where the answer and its label are, where people look, or where the reader attends.

    Pages are encoded once and reused (--cache). A fifth is held out, by their ids; the printed numbers are of those.

    With --reward it learns from answers alone: sets of tokens are drawn and read, and sets that score above
    the others become more likely. It starts from a trained head (--init), and reports the gain over it.

    If interrupted, the same command resumes it. The result is used by
    --set "scorer=[{name: late, head: OUTPUT}]".

    Example: saccade train head --kind late --dataset questions.jsonl --output heads/late
    """
    chosen, spec, dataset, rows, origin = _prepared(HeadConfig, settings)
    taught = _only(importance.HeadSettings, chosen)
    with resumable(output):
        if chosen.reward:
            outcome = _only(reward.RewardSettings, chosen)
            report = reward.train(taught, outcome, spec, dataset, rows, output, origin)
        else:
            report = importance.train(taught, spec, dataset, rows, output, origin)
    draw_curve(output)
    typer.echo((reward if chosen.reward else importance).summary(report, output))


class JointConfig(Training, joint.JointSettings):
    """Settings of the joint training of allocator and scorer."""


@train.command(name="joint")
@takes(JointConfig, leave_out=("engine",), defaults={"page_px": OWN_PAGES["page_px"]})
def jointly(
    output: Annotated[Path, typer.Option(help="Folder of the result: one folder per weight, with its curve.")],
    *,
    settings: dict[str, Any],
) -> None:
    """Train which levels and which tokens a look shows, together, by how well the reader then answers.

    The loss is the reader's plus a weight times the share of tokens shown. A look shrinks from 800 to 73
    tokens during training. A fifth of the pages is held out, by their ids; the printed numbers are of those.

    If interrupted, the same command resumes it. The result is used by --levels 3 --sampler
    pyramid --set "scorer=[{name: late, head: OUTPUT/weight-0.03/scorer}]" --set budget=allocator
    --set budget.weights=OUTPUT/weight-0.03/allocator --set budget.tokens=73.

    Example: saccade train joint --dataset questions.jsonl --weights 0.01,0.1 --output heads/joint
    """
    chosen, spec, dataset, rows, origin = _prepared(JointConfig, settings)
    own = _only(joint.JointSettings, chosen)
    with resumable(output):
        report = joint.train(own, spec, dataset, rows, output, origin)
    for folder in sorted(output.glob("weight-*")):
        draw_curve(folder)
    typer.echo(joint.summary(report, own, output))


class BudgetConfig(Training, budget_costs.SpendingSettings):
    """Settings of the training of a budget."""


@train.command()
@takes(BudgetConfig, leave_out=("engine",), defaults={"page_px": OWN_PAGES["page_px"]})
def budget(
    output: Annotated[Path, typer.Option(help="Folder of the budget, its measurements, its curve and its state.")],
    *,
    settings: dict[str, Any],
) -> None:
    """Train how many tokens a page and a question get, by what the reader answers at each budget.

    Every question is read at every budget. A fifth of the pages is held out, by their ids; the printed
    numbers are of those.

    If interrupted, the same command resumes it. The result is used by
    --set budget=predicted --set budget.weights=OUTPUT.

    Example: saccade train budget --budgets 73,111,273 --target 120 --output heads/budget
    """
    chosen, spec, dataset, rows, origin = _prepared(BudgetConfig, settings)
    with resumable(output):
        report = budget_costs.train(_only(budget_costs.SpendingSettings, chosen), spec, dataset, rows, output, origin)
    draw_curve(output)
    typer.echo(budget_costs.summary(report, output))


class KeepConfig(Training, keep_training.KeepSettings):
    """Settings of the training of keep scores."""


@train.command()
@takes(KeepConfig, leave_out=("engine",), defaults={"page_px": OWN_PAGES["page_px"]})
def keep(
    output: Annotated[Path, typer.Option(help="Folder of the networks, their curve and their state.")],
    *,
    settings: dict[str, Any],
) -> None:
    """Train which tokens the vision tower drops: all except those that some question of a page needs.

    A fifth of the pages is held out, by their ids; the printed numbers are of those.

    If interrupted, the same command resumes it. The result is used by --engine hf
    --set engine.reduction.name=dynamicvit --set engine.reduction.weights=OUTPUT.

    Example: saccade train keep --keep 0.7 --stages 2 --output heads/dynamicvit
    """
    chosen, spec, dataset, rows, origin = _prepared(KeepConfig, settings)
    own = _only(keep_training.KeepSettings, chosen)
    with resumable(output):
        report = keep_training.train(own, spec, dataset, rows, output, origin)
    draw_curve(output)
    typer.echo(keep_training.summary(report, own, output))


class CalibrationConfig(Training):
    """Settings of a calibration."""


@train.command()
@takes(CalibrationConfig, leave_out=("engine",))
def calibration(
    output: Annotated[
        Path | None, typer.Option(help="File (default: saccade.json in the folder that --model names).")
    ] = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Measure the size of print that a checkpoint needs, and calibrate its confidence.

    Pages are shrunk to print of several heights. The lowest that is read as well as any is the size at
    which pages are then shown. Confidence is mapped to the score that it predicts; held-out pages report
    the error. Without --dataset pages are generated, 16 of 512 px and 16 of 1024 px.

    A checkpoint's folder holds its saccade.json; for a checkpoint of the hub give every command
    --set engine.card=FILE.

    Example: saccade train calibration --model Qwen/Qwen2.5-VL-3B-Instruct --dataset docvqa --limit 300 --output q.json
    """
    chosen, spec, dataset, rows, _ = _prepared(CalibrationConfig, {"dataset": BOTH_SIZES, **settings})
    if output is None and (spec.model == "nano" or not Path(spec.model).is_dir()):
        raise ConfigError(f"{spec.model} is not a folder that could hold a saccade.json: give --output FILE")
    file = output or Path(spec.model) / CARD_FILE
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise ConfigError(f"{file} cannot be written: {file.parent} is no folder, or one that may not be written to")
    with spec.with_settings(card={}).open() as engine:  # ignores an earlier calibration
        assert isinstance(engine, HFEngine)
        report = calibrate(engine, dataset, rows)
    write_text(file, as_json(report) + "\n")
    typer.echo(f"{summary(report)}\n{file}")


class GateConfig(Training, gate_training.GateSettings):
    """Settings of the training of a fusion's gates."""


@train.command()
@takes(GateConfig, leave_out=("engine",), defaults={"page_px": OWN_PAGES["page_px"]})
def gates(
    output: Annotated[Path, typer.Option(help="Folder of fusion.yaml, the curve and the state.")],
    *,
    settings: dict[str, Any],
) -> None:
    """Train in which blocks of the vision tower similar tokens are pruned, and in which they are merged.

    A fifth of the pages is held out, by their ids; the printed numbers are of those.

    If interrupted, the same command resumes it. The result is used by --config OUTPUT/fusion.yaml.

    Example: saccade train gates --r 32 --output heads/gates
    """
    chosen, spec, dataset, rows, origin = _prepared(GateConfig, settings)
    with resumable(output):
        report = gate_training.train(_only(gate_training.GateSettings, chosen), spec, dataset, rows, output, origin)
    draw_curve(output)
    typer.echo(gate_training.summary(report, output))


def _prepared(kind: type[C], settings: dict[str, Any]) -> tuple[C, HF, Dataset, list[Row], dict[str, Any]]:
    """A training's settings, engine, data set, rows, and origin: the fingerprints of weights and data.

    Raises:
        ConfigError: a setting is wrong, or the data or the model cannot be found.
    """
    data = named("dataset", settings.get("dataset", "synthdoc"))
    name = str(data.pop("name", "synthdoc"))
    dataset: Dataset
    if settings.get("teacher") == "maps":
        if not data.get("data_path"):
            raise ConfigError("--teacher maps reads a folder of images and maps: give --data-path FOLDER")
        dataset = Maps(
            data_path=str(data["data_path"]), **({"question": data["question"]} if "question" in data else {})
        )
    else:
        dataset = open_dataset(name, **(OWN_PAGES | data if name == "synthdoc" else data))
    chosen = checked(kind, {**settings, "dataset": dataset.spec()})
    spec = settled(choose_engine({**chosen.engine, "name": "hf"}), here=True)
    assert isinstance(spec, HF)
    rows = [row for row in limit(dataset.rows(), chosen.limit) if isinstance(row, Row)]
    origin = {
        "weights": fingerprint(checkpoint(spec.model)), "data": dataset.fingerprint(), "limit": chosen.limit,
        "held_out": "by image id",  # a training that chose its held-out pages by place does not go on: others would be
    }  # fmt: skip
    return chosen, spec, dataset, rows, origin


@contextmanager
def resumable(output: Path) -> Iterator[None]:
    """An interruption of the block says that the same command resumes."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        raise KeyboardInterrupt(str(stopped) or f"interrupted: the same command goes on in {output}") from stopped


def _only(kind: type[S], chosen: Settings) -> S:
    """The part of a command's settings that one of its classes declares."""
    return kind(**{name: getattr(chosen, name) for name in kind.model_fields})


@train.command()
def nano(
    output: Annotated[Path, typer.Option(help="Folder of checkpoints and of the result (OUTPUT/checkpoint).")],
    init: Annotated[
        str | None, typer.Option(help="Checkpoint to start from: 'nano' or a folder (default: fresh weights).")
    ] = None,
    size: Annotated[str, typer.Option(help="Preset of widths and depths: tiny, nano, wide.")] = "nano",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of weights and pages. Validation seeds are refused.")] = 1,
    set: SET = None,
) -> None:
    """Train the bundled model on documents generated here: characters first, then where to look, then both.

    If it is killed or stopped, the same command continues where it was. --set reaches every setting:
    dense_steps, point_steps, joint_steps (0 leaves a phase out), crops, pages, the learning rates,
    processes, workers.

    Example: saccade train nano --output runs/nano --init nano --set dense_steps=0
    """
    options = {"size": size, "device": device, "seed": seed, "init": None if init is None else checkpoint(init)}
    run(checked(NanoTraining, {**options, **dict(pairs(set))}), output)
