"""Small trained modules as folders: `module.safetensors` (weights) and `module.json` (kind, sizes, notes).

Loading executes no code of the folder. A module that can be saved has a property `sizes`: the arguments of its
`__init__`, as JSON.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from saccade.errors import ConfigError
from saccade.untrusted import FileSetting

WEIGHTS, CARD = "module.safetensors", "module.json"


M = TypeVar("M", bound=nn.Module)


def save(module: nn.Module, folder: Path, **notes: Any) -> None:
    """Writes a module with notes on its training; creates the folder, and replaces a module in it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    card = {"kind": type(module).__name__, "sizes": module.sizes, "notes": notes}
    save_file({name: value.detach().contiguous() for name, value in module.state_dict().items()}, folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")


def load(kind: type[M], folder: Path) -> M:
    """The module of a folder, on the CPU, ready to use.

    Raises:
        ConfigError: the folder holds no module, one of another kind, or weights that do not fit its sizes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        card = dict(json.loads((folder / CARD).read_text()))
        weights = load_file(folder / WEIGHTS)
    except (OSError, TypeError, ValueError, SafetensorError) as error:
        raise ConfigError(
            f"{folder} holds no {kind.__name__}: it needs {CARD} and {WEIGHTS}, as training writes them "
            f"(saccade/SYSTEMS.md has the command): {error}"
        ) from error
    if card.get("kind") != kind.__name__:
        raise ConfigError(f"{folder} holds a {card.get('kind')}, not a {kind.__name__}")
    try:
        module = kind(**card["sizes"])
        module.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"the {kind.__name__} in {folder} does not fit its sizes: {error}") from error
    return module.eval()


def weights_hash(folder: Path | None) -> str | None:
    """A hash of the weights in a module's folder; None: there is no folder, or it holds none."""
    file = None if folder is None else folder.expanduser() / WEIGHTS
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file is not None and file.is_file() else None


def load_cached(kind: type[M], folder: str, device: torch.device | str = "cpu") -> M:
    """`load` without gradients, cached until the folder is written again.

    Raises:
        ConfigError: as `load`.
    """
    try:
        at = Path(folder).expanduser()
    except RuntimeError as error:  # "~name" of no user
        raise ConfigError(f"no folder {folder!r}: {error}") from error
    written_ns = tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in (at / CARD, at / WEIGHTS))
    return _load_cached(kind, at, written_ns, str(device))  # type: ignore[arg-type, return-value]


@lru_cache(maxsize=16)
def _load_cached(kind: type[nn.Module], folder: Path, _written_ns: tuple[int, ...], device: str) -> nn.Module:
    return load(kind, folder).to(device).requires_grad_(False)


def holds(kind: type[nn.Module]) -> FileSetting:
    """Marks a setting that names a trained module's folder: a missing module is refused before anything starts."""

    def check(folder: str | None) -> str | None:
        if folder is not None:
            load_cached(kind, folder)
        return folder

    return FileSetting(check)
