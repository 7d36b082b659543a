"""Trains saccade-nano, all phases with one command, on a CPU or on GPUs; resumable.

    python -m saccade.training.nano --out runs/nano                       # from nothing
    python -m saccade.training.nano --out runs/nano --init saccade/nano   # goes on from a checkpoint
    python -m saccade.training.nano --help

Phases: `dense` (the vision tower learns characters), `point` (the language model learns where to look, with supervised
attention, few tokens in view), `joint` (both together on every kind of view, weaned from the supervision).
Run again with the same `--out` it goes on where it stopped (Ctrl-C included). The result is `OUT/checkpoint`.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from saccade.datasets.synthdoc import VALIDATION_SEED, Real
from saccade.errors import ConfigError
from saccade.machine import num_cpus, resolved_device
from saccade.training.dense import dense_head, train_dense
from saccade.training.loop import Interrupt, Progress, State, autocast, build_optimizers, rank_and_size, update
from saccade.training.model import HEAD_FILE, SIZES, build_model, load_head, load_model, save_model
from saccade.training.parser import parser_of
from saccade.training.reader import Batch, collate, losses
from saccade.training.views import drawn_kind, drawn_size, make_view

INTERRUPTED = 130  # exit status of a process stopped by Ctrl-C
FEW_PX = 512  # a page of twice the side stands for two
MAX_SEED = VALIDATION_SEED // 2  # phases add to it


class NanoTraining(BaseModel):
    """The settings of one training. Steps of 0 leave a phase out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Literal["tiny", "nano", "wide"] = Field("nano", description="Preset of widths and depths.")
    init: str | None = Field(None, description="Checkpoint to start from instead of fresh weights.")
    seed: int = Field(1, ge=0, lt=MAX_SEED, description="Seed of weights and pages; validation seeds are refused.")
    dense_steps: int = Field(8000, ge=0)
    point_steps: int = Field(500, ge=0)
    joint_steps: int = Field(4000, ge=0)
    crops: int = Field(32, ge=4, description="256-px crops per step of the dense phase.")
    pages: int = Field(6, ge=1, description="512-px pages (with all their questions) per step of the other phases.")
    dense_rate: float = Field(2e-3, gt=0, description="Peak learning rate.")
    point_rate: float = Field(1e-3, gt=0)
    joint_rate: float = Field(8e-4, gt=0)
    vision_share: float = Field(0.5, gt=0, description="The vision tower's share of the joint learning rate.")
    fonts: str = Field("", description="Folder of fonts for three in four pages; '': matplotlib's.")
    words: str = Field("", description="Folder of word lists for the same pages; '': words are made up.")
    page_px: int | None = Field(None, description="Longest side of the pages; None: 512 to 1024.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="cuda: all visible GPUs.")
    processes: int = Field(0, ge=0, description="Processes that train together; 0: one per core (CPU) or per GPU.")
    workers: int = Field(0, ge=0, description="Processes that draw pages, per training process; 0: none beside it.")
    compiled: bool = Field(False, description="torch.compile the dense phase: slower to start, then a quarter faster.")

    @property
    def real(self) -> Real:
        """How worn pages are printed."""
        return Real(self.fonts, self.words)


class Views(torch.utils.data.Dataset[Batch]):
    """Item i: the pages that one of `size` processes trains on at once, in views of one kind and of like lengths."""

    def __init__(self, config: NanoTraining, phase: str, steps: int, size: int) -> None:
        self.phase, self.page_px, self.real = phase, config.page_px, config.real
        self.length, self.size, self.pages = steps * size, size, max(1, config.pages // size)
        self.seed = config.seed + {"point": 104729, "joint": 7919}[phase]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        """The point phase begins with keys and values among distractors."""
        turn = index // self.size  # all processes take the same kind: none waits for another
        draw = np.random.default_rng([self.seed, turn, 4])
        sparse = self.phase == "point" and (turn % 2 == 1 or 3 * index < self.length)
        kind = "asked" if sparse else drawn_kind(draw)
        page_px = self.page_px or drawn_size(draw)
        pages = max(1, self.pages * FEW_PX // page_px)
        views = [
            make_view(self.seed, index * self.pages + i, kind=kind, page_px=page_px, real=self.real)
            for i in range(pages)
        ]
        return collate([view for view in views if view.asked] or [make_view(self.seed, 0, kind="all", page_px=FEW_PX)])


def _train_reader(
    model: Any, head: nn.Module, out: Path, config: NanoTraining, phase: str, device: torch.device
) -> None:
    """The `point` and the `joint` phase: they differ in what learns, the views and the weight of the supervision."""
    joint, size = phase == "joint", rank_and_size()[1]
    steps = config.joint_steps if joint else config.point_steps
    rate = config.joint_rate if joint else config.point_rate
    inner = model.model
    groups: list[tuple[nn.Module, float]] = [(inner.language_model, 1.0)]
    modules: dict[str, nn.Module] = {"language": inner.language_model}
    if joint:
        groups += [(inner.visual, config.vision_share), (head, config.vision_share)]
        modules |= {"visual": inner.visual, "head": head}
    state = State(out / f"{phase}.pt", modules, build_optimizers(groups, rate))
    state.restore()
    data = Views(config, phase, steps, size)
    batches = _batches(data, state.step, config.workers)
    progress = Progress(phase, steps)
    with Interrupt() as interrupt:
        while state.step < steps:
            batch = next(batches).to(device)
            wean = max(0.0, 1 - state.step / (0.6 * steps)) if joint else 1.0
            with autocast(device):
                loss = losses(model, head, batch, joint)
            total = loss.answer + 0.3 * wean * loss.guide.sum() + (loss.dense if joint else 0.0)
            torch.autograd.backward(total)
            named = dict(zip(("value", "ask", "char"), loss.guide.tolist(), strict=True))
            progress.add(
                state.step,
                loss.num_tok,
                loss=loss.answer.item(),
                char_acc=loss.char_acc.item(),
                **named,
                dense=loss.dense.item(),
            )
            stop = update(state, rate, steps, interrupt.asked)
            if stop or state.step % 100 == 0:
                state.save()
            if stop:
                raise KeyboardInterrupt
    state.save()


def _batches(data: Views, step: int, workers: int) -> Any:
    rank, size = rank_and_size()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(data, range(step * size + rank, len(data), size)),
        batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None,
    )  # fmt: skip
    return iter(loader)


def export(model: Any, head: nn.Module, folder: Path) -> None:
    """Writes the checkpoint, with the dense head that further training needs."""
    save_model(model, folder)
    half = {name: value.detach().half().cpu().numpy() for name, value in head.state_dict().items()}
    np.savez(folder / HEAD_FILE, **half)
    for file in folder.iterdir():
        file.chmod(0o644)


def _train(rank: int, size: int, device_type: str, config: NanoTraining, out: Path) -> None:
    """One process of the training."""
    device = torch.device(device_type, rank) if device_type == "cuda" else torch.device("cpu")
    if size > 1:
        torch.distributed.init_process_group("nccl" if device_type == "cuda" else "gloo", rank=rank, world_size=size)
    if device_type == "cpu":
        torch.set_num_threads(max(1, num_cpus() // size))
    model: Any = load_model(Path(config.init)) if config.init else build_model(SIZES[config.size], config.seed)
    head = dense_head(model.config.text_config.hidden_size)
    if config.init:
        load_head(head, Path(config.init))
    model, head = model.to(device), head.to(device)
    if config.dense_steps:
        train_dense(
            model.model.visual, head, out, steps=config.dense_steps, seed=config.seed, device=device,
            batch_crops=config.crops, rate=config.dense_rate, workers=config.workers, compiled=config.compiled,
            real=config.real,
        )  # fmt: skip
    for phase, steps in (("point", config.point_steps), ("joint", config.joint_steps)):
        if steps:
            _train_reader(model, head, out, config, phase, device)
            if rank == 0:
                export(model, head, out / "checkpoint")
    if size > 1:
        torch.distributed.destroy_process_group()


def _train_together(rank: int, size: int, device_type: str, config: NanoTraining, out: Path) -> None:
    """One of several processes; all of them end together when one is interrupted, after what they saved."""
    try:
        _train(rank, size, device_type, config, out)
    except KeyboardInterrupt:
        torch.distributed.barrier()
        sys.exit(INTERRUPTED)


@contextlib.contextmanager
def _passed_on(processes: list[int]) -> Iterator[None]:
    """Forwards SIGINT and SIGTERM to all processes of the training."""

    def forward(*_: object) -> None:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                os.kill(process, signal.SIGINT)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _where(config: NanoTraining) -> tuple[str, int]:
    """The type of device, and the number of processes that train together."""
    kind = resolved_device(config.device).type
    most = torch.cuda.device_count() if kind == "cuda" else config.processes
    if config.processes > most:
        raise ConfigError(f"processes={config.processes} on {most} GPUs: one process trains on one GPU")
    return kind, config.processes or most or num_cpus()


def train(config: NanoTraining, out: Path) -> Path:
    """Trains, or resumes training, in folder `out`; returns the folder of the checkpoint.

    Raises:
        ConfigError: before anything starts: the device, the checkpoint at `init` or the fonts do not exist.
        KeyboardInterrupt: interrupted; the message says how to resume.
    """
    kind, size = _where(config)
    if config.init is not None and not (Path(config.init) / "config.json").exists():
        raise ConfigError(f"no checkpoint to start from in {config.init!r} (--init): it has no config.json")
    config.real.families(), config.real.lists()  # looked through once, before anything starts
    out.mkdir(parents=True, exist_ok=True)
    settings, recorded = out / "training.json", config.model_dump_json(indent=2)
    if settings.exists() and NanoTraining.model_validate_json(settings.read_text()) != config:
        print(f"settings differ from those of {settings}; going on with the new ones", flush=True)
    settings.write_text(recorded)
    since = time.monotonic()
    try:
        if size == 1:
            _train(0, 1, kind, config, out)
        else:
            logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # it warns of what it ends
            os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
            os.environ.setdefault("MASTER_PORT", str(_free_port()))  # of its own: two trainings may share a machine
            context: Any = spawn(  # type: ignore[no-untyped-call]
                _train_together, args=(size, kind, config, out), nprocs=size, join=False
            )
            with _passed_on(context.pids()):
                while not context.join():
                    pass
    except (KeyboardInterrupt, ProcessExitedException) as ended:
        if isinstance(ended, ProcessExitedException) and ended.exit_code != INTERRUPTED:
            raise
        raise KeyboardInterrupt(f"stopped; the same command goes on with what is in {out}") from ended
    print(f"{out / 'checkpoint'} after {(time.monotonic() - since) / 60:.1f} min", flush=True)
    return out / "checkpoint"


def main(argv: list[str] | None = None) -> None:
    """The command line: the settings of NanoTraining as options."""
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and of the result")
    for name, info in NanoTraining.model_fields.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", default=None, help=f"{info.description or ''} [{info.default}]"
        )
    args = vars(parser.parse_args(argv))
    out = args.pop("out")
    try:
        train(NanoTraining.model_validate_strings({k: v for k, v in args.items() if v is not None}), out)
    except ConfigError as error:
        parser.error(str(error))
    except KeyboardInterrupt as stopped:
        print(stopped, flush=True)


if __name__ == "__main__":
    main()
