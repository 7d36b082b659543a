"""`saccade doctor`: what is installed, which engine would be used, what is missing and the command that fixes it.

It must run whatever is missing: at the top it imports only the standard library, packaging, typer and rich.
"""

import importlib.metadata
import platform
import shutil
from collections.abc import Iterator
from typing import Annotated

import typer
from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console()

Finding = tuple[str, str, str]
"""What was checked, the result, and the command that fixes it (empty: nothing to fix)."""


def doctor(
    verify: Annotated[bool, typer.Option("--verify", help="Read a page with vLLM and with transformers.")] = False,
    model: Annotated[str, typer.Option("--model", help="The model that --verify reads with.")] = "nano",
) -> None:
    """Say what is installed, which engine would be used, what is missing, and the command that fixes it.

    With --verify, also whether vLLM reads a page as transformers does, here and with your model: the same
    log-probabilities for all tokens and for fixations that grow a canvas.

    Example: saccade doctor --verify --model Qwen/Qwen2.5-VL-7B-Instruct
    """
    status = examine(console)
    if verify:
        from saccade.studies.parity import verify as compare

        status = max(status, compare(model, console))
    raise typer.Exit(status)


def examine(console: Console) -> int:
    """Prints a table of findings; returns 0 if `saccade batch` would run, 1 if something it needs is missing."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "found", "what to do"):
        table.add_column(column, overflow="fold")
    table.add_row("python", platform.python_version(), "")
    broken = False
    for name, finding, fix in [*packages(), bundled_model()]:
        broken |= bool(fix)
        table.add_row(name, f"[red]{escape(finding)}[/red]" if fix else escape(finding), escape(fix))
    for name, finding, hint in (processor(), engine()):
        table.add_row(name, escape(finding), escape(hint))
    console.print(table)
    console.print(
        "[red]not ready[/red]"
        if broken
        else "[green]ready[/green]: saccade batch --dataset synthdoc --limit 32 --output runs/demo"
    )
    return int(broken)


def packages() -> Iterator[Finding]:
    """Each package that saccade declares, with its version."""
    for requirement in requirements():
        present = version(requirement.name)
        if present is None:
            yield requirement.name, "missing", pip(requirement)
        elif not requirement.specifier.contains(present, prereleases=True):
            yield requirement.name, f"{present}, not {requirement.specifier}", pip(requirement)
        else:
            yield requirement.name, present, ""


def requirements() -> list[Requirement]:
    """The packages that saccade requires on this platform, without its extras."""
    declared = map(Requirement, importlib.metadata.requires("saccade") or [])
    return [need for need in declared if need.marker is None or need.marker.evaluate({"extra": ""})]


def pip(requirement: Requirement) -> str:
    """The command that installs a version that fits."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"pip install '{requirement.name}{extras}{requirement.specifier}'"


def version(package: str) -> str | None:
    """The installed version of a distribution; None: it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> Finding:
    """The device that `--device auto` chooses, and a hint if there is a GPU that torch cannot use."""
    try:
        import torch

        from saccade.machine import num_cpus
    except ImportError as error:
        return "processor", f"unknown: {error}", ""
    if torch.cuda.is_available():
        name = f"{torch.cuda.get_device_name()} ({torch.cuda.device_count()} in all), bfloat16"
        return "processor", name, ""
    hint = "torch sees no GPU: install its CUDA build" if shutil.which("nvidia-smi") else ""
    return "processor", f"{num_cpus()} CPU cores, float32", hint


def engine() -> Finding:
    """The engine that `--engine auto` chooses."""
    try:
        from saccade.engines import automatic, installed
    except ImportError as error:
        return "engine", f"unknown: {error}", ""
    more = "vllm is installed as well" if installed("vllm") else "vllm is not installed"
    return "engine", "vllm" if automatic({}) == "vllm" else f"hf (transformers); {more}", ""


def bundled_model() -> Finding:
    """Whether the bundled model loads and encodes a blank page."""
    try:
        import numpy as np

        from saccade.engines import choose_engine
        from saccade.errors import SaccadeError
        from saccade.picture import Picture
    except ImportError as error:
        return "nano", f"does not load: {error}", repair(error)
    try:
        with choose_engine("hf").open() as nano:
            blank = nano.prepare(Picture.open(np.full((64, 64, 3), 255, np.uint8)))
            parameters = sum(p.numel() for p in nano.family.model.parameters())
            tokens = len(nano.encode([blank])[0])
            return "nano", f"loads and encodes ({parameters / 1e6:.1f} M parameters, {tokens} tokens)", ""
    except ImportError as error:
        return "nano", f"does not load: {error}", repair(error)
    except (SaccadeError, OSError) as error:
        return "nano", f"does not load: {error}", "pip install --force-reinstall --no-deps saccade"


def repair(error: ImportError) -> str:
    """The command that reinstalls the package that could not be imported."""
    module = (error.name or "").partition(".")[0]
    distributions = importlib.metadata.packages_distributions().get(module, [])
    for requirement in requirements():
        if requirement.name in distributions:
            return pip(requirement).replace("install", "install --force-reinstall", 1)
    return f"pip install {module}" if module else "pip install --force-reinstall saccade"
