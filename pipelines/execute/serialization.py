"""Values between processes: tensors become arrays, which Ray passes through shared memory without copying them.

Of tokens that a trained codec can rebuild (`saccade.types.Coded`) only the codes are sent, an eighth of the bytes or
less; the receiver rebuilds the tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from saccade.reduction.autoencoder import rebuilt
from saccade.types import Encoding, Part

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Packed:
    """A tensor as an array; numpy has no bfloat16, so that it travels as int16."""

    array: np.ndarray
    bfloat16: bool = False

    @classmethod
    def of(cls, tensor: Tensor) -> "Packed":
        tensor = tensor.detach().cpu().contiguous()
        if tensor.dtype == torch.bfloat16:
            return cls(tensor.view(torch.int16).numpy(), True)
        return cls(tensor.numpy())

    def tensor(self) -> Tensor:
        """The tensor; copied where the array is read-only (shared memory)."""
        array = self.array if self.array.flags.writeable else self.array.copy()
        tensor = torch.from_numpy(array)
        return tensor.view(torch.bfloat16) if self.bfloat16 else tensor


def freeze(value: T) -> T:
    """`value` with every tensor in it replaced by a `Packed`, through dataclasses, tuples, lists and dicts."""
    return _each(value, Tensor, Packed.of)  # type: ignore[no-any-return]


def thaw(value: T) -> T:
    """What `freeze` was given."""
    return _each(value, Packed, Packed.tensor)  # type: ignore[no-any-return]


def _each(value: Any, kind: type, change: Any) -> Any:
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)([_each(item, kind, change) for item in value])
    if isinstance(value, Mapping):
        return {key: _each(item, kind, change) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type | Packed):
        copied = object.__new__(type(value))
        for field in fields(value):
            object.__setattr__(copied, field.name, _each(getattr(value, field.name), kind, change))
        if isinstance(copied, Encoding | Part) and copied.coded is not None:
            tokens: Any = rebuilt(copied.coded) if kind is Packed else None
            object.__setattr__(copied, "tokens", tokens)
        return copied
    return value
