"""What reductions learn, and the files it travels in: a folder of `reduction.safetensors` and `reduction.json`.

The second holds the kind, the sizes and notes on the training. Nothing in it is executed.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from saccade.errors import ConfigError

WEIGHTS, CARD = "reduction.safetensors", "reduction.json"
MAKER = "saccade.training.reduction writes one"


class Trained(nn.Module):
    """A module that says what it is and how large."""

    kind: ClassVar[str]

    @property
    def sizes(self) -> dict[str, Any]:
        """What `__init__` takes."""
        raise NotImplementedError


T = TypeVar("T", bound=Trained)


def save_trained(module: Trained, folder: Path, **notes: Any) -> None:
    """Writes a module and what is to be known of its training (plain values) into a folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    (folder / CARD).write_text(
        json.dumps({"kind": module.kind, "sizes": module.sizes, "notes": notes}, indent=1) + "\n"
    )


def card_of(folder: str, kind: str) -> dict[str, Any]:
    """What the folder's `reduction.json` says.

    Raises:
        ConfigError: there is none in it, or one of another kind.
    """
    try:
        card = json.loads((Path(folder).expanduser() / CARD).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"no trained reduction in {folder!r}: {error}. {MAKER}") from error
    if not isinstance(card, dict) or card.get("kind") != kind:
        raise ConfigError(f"the reduction in {folder!r} is not of the kind {kind!r}; {CARD} says {card!r}"[:400])
    return card


def load_trained(folder: str, module: type[T], device: torch.device | str = "cpu") -> T:
    """A module as `save_trained` wrote it, in evaluation mode; read once however often it is asked for.

    Raises:
        ConfigError: there is none of that kind, or its weights do not fit its card.
    """
    card = card_of(folder, module.kind)
    file = Path(folder).expanduser() / WEIGHTS
    if not file.exists():
        raise ConfigError(f"{folder!r} has a {CARD} but no {WEIGHTS}. {MAKER}")
    kind: Any = module
    made: Any = _loaded(kind, str(file), file.stat().st_mtime_ns, json.dumps(card["sizes"]), str(device))
    return made  # type: ignore[no-any-return]


@lru_cache(maxsize=8)
def _loaded(module: Any, file: str, _written_ns: int, sizes: str, device: str) -> Trained:
    from safetensors.torch import load_file

    try:
        made = module(**json.loads(sizes))
        made.load_state_dict(load_file(file))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"{file!r} does not fit its {CARD}: {error}") from error
    return made.to(device).eval().requires_grad_(False)  # type: ignore[no-any-return]
