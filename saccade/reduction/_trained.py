"""What reductions learn, read from its folder (`saccade.geometry.saved`) once however often it is asked for."""

from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from saccade.geometry.saved import WEIGHTS, load

M = TypeVar("M", bound=nn.Module)


def load_trained(folder: str, kind: type[M], device: torch.device | str = "cpu") -> M:
    """A trained module, in evaluation mode and without gradients.

    Raises:
        ConfigError: there is none of that kind in the folder (`saccade.training` writes them), or it does not fit.
    """
    file = Path(folder).expanduser() / WEIGHTS
    made: Any = _loaded(kind, str(file.parent), file.stat().st_mtime_ns if file.exists() else 0, str(device))  # type: ignore[arg-type]
    return made  # type: ignore[no-any-return]


@lru_cache(maxsize=8)
def _loaded(kind: Any, folder: str, _written_ns: int, device: str) -> nn.Module:
    made: nn.Module = load(kind, Path(folder))
    return made.to(device).requires_grad_(False)
