"""`saccade doctor`: what is installed, which engine would be used, what is missing and the command that fixes it."""

import importlib.metadata
import os
import platform
import shutil

from rich.console import Console
from rich.table import Table

from saccade.engines.hf import HF
from saccade.errors import SaccadeError
from saccade.picture import Picture

PACKAGES = ("torch", "transformers", "ray", "pyarrow", "pydantic", "typer", "pillow", "opencv-python-headless")


def examine(console: Console) -> int:
    """Prints a table of findings; 0 when the main job would run, 1 when something it needs is missing."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "found", "what to do"):
        table.add_column(column, overflow="fold")
    broken = False
    table.add_row("python", platform.python_version(), "")
    for name in PACKAGES:
        found = version(name)
        broken |= found is None
        table.add_row(name, found or "[red]missing[/red]", "" if found else f"pip install {name}")
    table.add_row("processor", *processor())
    found, fix = bundled_model()
    broken |= bool(fix)
    table.add_row("nano", found, fix)
    table.add_row("engine", "hf (transformers)", "")
    console.print(table)
    console.print(
        "[red]not ready[/red]"
        if broken
        else "[green]ready[/green]: saccade batch --dataset synthdoc --limit 32 --output runs/demo"
    )
    return int(broken)


def version(package: str) -> str | None:
    """The installed version of a distribution, None without it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> tuple[str, str]:
    """The device that `--device auto` takes, and a hint when a GPU is present but torch cannot use it."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} ({torch.cuda.device_count()} in all), bfloat16", ""
    hint = "torch sees no GPU: install its CUDA build" if shutil.which("nvidia-smi") else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPU cores, float32", hint


def bundled_model() -> tuple[str, str]:
    """Whether the bundled model loads and encodes a blank page."""
    import numpy as np

    try:
        with HF().open() as engine:
            blank = engine.prepare(Picture.open(np.full((64, 64, 3), 255, np.uint8)))
            parameters = sum(p.numel() for p in engine.family.model.parameters())
            return (
                f"loads and encodes ({parameters / 1e6:.1f} M parameters, {len(engine.encode([blank])[0])} tokens)",
                "",
            )
    except (SaccadeError, OSError, ImportError) as error:
        return f"[red]does not load[/red]: {error}", "pip install --force-reinstall --no-deps saccade"
