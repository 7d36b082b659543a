"""What every training phase shares: optimisers, learning rate, checkpoints that resume exactly, and progress lines."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saccade.files import replaced


def set_rate(optimizers: list[torch.optim.Optimizer], peak: float, step: int, steps: int, warmup: int = 100) -> None:
    """Trapezoid: linear warm-up, constant, linear to zero over the last 40 % of `steps`."""
    rise = min(1.0, (step + 1) / warmup)
    fall = min(1.0, (steps - step) / (0.4 * steps))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = peak * group["share"] * min(rise, fall)


def build_optimizers(groups: list[tuple[nn.Module, float]], peak: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan 2024) for the matrices inside blocks, AdamW for the rest. groups: (module, share of the rate)."""
    muon: list[dict[str, Any]] = []
    adam: list[dict[str, Any]] = []
    seen: set[int] = set()
    for module, share in groups:
        for name, p in module.named_parameters():
            if id(p) in seen or not p.requires_grad:
                continue
            seen.add(id(p))
            matrix = p.ndim == 2 and ("blocks." in name or "layers." in name)
            decay = 0.05 if p.ndim >= 2 else 0.0
            (muon if matrix else adam).append({"params": [p], "share": share, "weight_decay": decay})
    optimizers: list[torch.optim.Optimizer] = []
    if muon:
        optimizers.append(torch.optim.Muon(muon, lr=peak, momentum=0.95, adjust_lr_fn="match_rms_adamw"))
    if adam:
        optimizers.append(torch.optim.AdamW(adam, lr=peak, betas=(0.9, 0.98)))
    return optimizers


@dataclass
class State:
    """What a phase resumes from: modules, optimisers and the number of steps done. One file, replaced atomically."""

    path: Path
    modules: dict[str, nn.Module]
    optimizers: list[torch.optim.Optimizer]
    step: int = 0

    def save(self) -> None:
        """Writes the file; only the first of several processes does."""
        if rank_and_size()[0]:
            return
        payload = {
            "step": self.step,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        with replaced(self.path) as part:
            torch.save(payload, part)

    def restore(self) -> bool:
        """Loads the file if there is one; True if it did."""
        if not self.path.exists():
            return False
        payload = torch.load(self.path, map_location="cpu", weights_only=True)
        for name, module in self.modules.items():
            module.load_state_dict(payload["modules"][name])
        for optimizer, saved in zip(self.optimizers, payload["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = int(payload["step"])
        return True


@dataclass
class Progress:
    """A line every few steps: step, running means, tokens per second, time left."""

    phase: str
    steps: int
    every: int = 10
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0
    since: float = field(default_factory=time.monotonic)

    def add(self, step: int, num_tok: int, **values: float) -> None:
        """Counts one step; prints after every `every`."""
        self.count += 1
        for name, value in {**values, "tok": float(num_tok)}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if (step + 1) % self.every and step + 1 != self.steps:
            return
        rank, size = rank_and_size()
        seconds = time.monotonic() - self.since
        means = "  ".join(f"{name} {self.sums[name] / self.count:.3f}" for name in values)
        left = (self.steps - step - 1) * seconds / self.count
        rate = self.sums["tok"] * size / seconds
        if rank == 0:
            pace = f"{rate:,.0f} tok/s  {left / 60:.1f} min left"
            print(f"{self.phase} {step + 1}/{self.steps}  {means}  {pace}", flush=True)
        self.sums, self.count, self.since = {}, 0, time.monotonic()


def rank_and_size() -> tuple[int, int]:
    """The rank of this process, and the number of processes that train together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class Interrupt:
    """Turns Ctrl-C and SIGTERM into a flag that is read between two steps, so that what is saved is a whole step."""

    def __enter__(self) -> "Interrupt":
        self.asked = False
        self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, *_: object) -> None:
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def update(state: State, rate: float, steps: int, stop: bool = False, limit: float = 1.0) -> bool:
    """One optimiser step on gradients averaged over processes and clipped; True if any process was asked to stop."""
    parameters = [p for module in state.modules.values() for p in module.parameters() if p.requires_grad]
    _, size = rank_and_size()
    if size > 1:
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([*(g.flatten() for g in gradients), torch.tensor([float(stop)], device=gradients[0].device)])
        torch.distributed.all_reduce(flat)
        stop = bool(flat[-1] > 0)
        parts = torch.split(flat[:-1] / size, [g.numel() for g in gradients])
        for p, part in zip(parameters, parts, strict=True):
            p.grad = part.view_as(p)
    nn.utils.clip_grad_norm_(parameters, limit)
    set_rate(state.optimizers, rate, state.step, steps)
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    state.step += 1
    return stop


def autocast(device: torch.device) -> torch.autocast:
    """Autocast to bfloat16 where it is faster: on CUDA, and on CPUs that multiply it natively."""
    fast = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast)


def stream(dataset: torch.utils.data.Dataset[Any], start: int, batch: int, workers: int) -> Iterator[dict[str, Tensor]]:
    """This process's batches of a map-style data set from item `start`, in order, made ahead by worker processes."""
    rank, size = rank_and_size()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(dataset, range(start + rank, len(dataset), size)),  # type: ignore[arg-type]
        batch_size=batch, num_workers=workers, prefetch_factor=4 if workers else None,
    )  # fmt: skip
    return iter(loader)
