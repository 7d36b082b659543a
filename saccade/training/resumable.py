"""A training that can be interrupted at any moment: its folder holds its state and the loss of every step.

    OUTPUT/state.pt      weights, optimiser and the number of finished steps, written now and then and when interrupted
    OUTPUT/curve.jsonl   one line per step
    OUTPUT/origin.json   its settings: a training with other settings may not use this folder

A step depends only on its number and the seed, so an interrupted training ends exactly as an uninterrupted one.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor, nn

from saccade.errors import ResumeRefused
from saccade.files import write_text
from saccade.training.loop import Interrupt, State

REPORTING = ("cache", "read")
"""Settings that do not affect the weights: where encodings are stored, how many questions the report reads."""
STATE, CURVE, ORIGIN = "state.pt", "curve.jsonl", "origin.json"
SAVE_EVERY = 50

Facts = Mapping[str, float]


def claim(folder: Path, origin: Mapping[str, Any]) -> None:
    """Marks a folder as that of one training.

    Raises:
        ResumeRefused: the folder belongs to a training with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, asked = folder / ORIGIN, json.loads(json.dumps(origin))
    for settings in (each for each in asked.values() if isinstance(each, dict)):
        for name in REPORTING:
            settings.pop(name, None)
    if file.exists():
        before = json.loads(file.read_text())
        changed = [f"{key}: {before.get(key)!r} -> {asked.get(key)!r}" for key in {**before, **asked}
                   if before.get(key) != asked.get(key)]  # fmt: skip
        if changed:
            raise ResumeRefused(
                f"{folder} holds a training with other settings ({'; '.join(changed)}). Give another --output, or the "
                "settings it was begun with"
            )
    write_text(file, json.dumps(asked, indent=1) + "\n")


def course(
    modules: Mapping[str, nn.Module],
    loss_of: Callable[[int], tuple[Tensor, Facts]],
    folder: Path,
    *,
    steps: int,
    rate: float,
    weight_decay: float = 0.01,
    unit: int = 1,
    name: str = "training",
) -> list[dict[str, float]]:
    """Trains modules in place with AdamW and a half-cosine learning rate that ends at 0; resumes from `folder`.

    `loss_of(step)` returns the loss and further entries of the curve. Interruptions take effect only between `unit`s of
    steps, whose steps share the draws of the first. Returns the curve.

    Raises:
        KeyboardInterrupt: interrupted; the state is in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = [parameter for module in modules.values() for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=weight_decay)
    state = State(folder / STATE, dict(modules), [optimizer])
    state.restore()
    curve = kept_lines(folder / CURVE, lambda line: line["step"] < state.step)  # what follows the state is done again
    for module in modules.values():
        module.train()
    with Interrupt() as interrupt, (folder / CURVE).open("a", buffering=1) as lines:
        for step in track(range(state.step, steps), name, disable=not sys.stderr.isatty()):
            for group in optimizer.param_groups:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))
            loss, facts = loss_of(step)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            state.step = step + 1
            curve.append({"step": step, "loss": round(float(loss.detach()), 6), **facts})
            lines.write(json.dumps(curve[-1]) + "\n")
            whole = state.step % unit == 0 or state.step == steps
            if whole and (interrupt.asked or state.step % (SAVE_EVERY * unit) == 0 or state.step == steps):
                state.save()
            if whole and interrupt.asked and state.step < steps:
                raise KeyboardInterrupt(
                    f"interrupted after {state.step} of {steps} steps: the same command goes on in {folder}"
                )
    for module in modules.values():
        module.eval()
    return curve


def kept_lines(file: Path, accept: Callable[[dict[str, Any]], bool] = lambda line: True) -> list[dict[str, Any]]:
    """The entries of a JSON Lines file before the first that a kill has cut off or that `accept` rejects.

    The file then holds these alone, so that it can be appended to. No file, no lines.
    """
    lines_kept: list[dict[str, Any]] = []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break
        if not accept(entry):
            break
        lines_kept.append(entry)
    write_text(file, "".join(json.dumps(line) + "\n" for line in lines_kept))
    return lines_kept


def picked(num: int, step: int, seed: int) -> int:
    """The index of the example of a step: a new random order of all `num` examples in every epoch."""
    order = torch.randperm(num, generator=generator(seed, step // num))
    return int(order[step % num])


def generator(seed: int, step: int) -> torch.Generator:
    """The random generator of one step, independent of what earlier steps drew."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
