"""A second device on a machine that has none: tensors "on cuda" that compute on the CPU and refuse to mix with it.

Inside `second_device()` everything that asks for "cuda" gets ordinary memory in tensors of a class of its own. Their
`device` says cuda:0; an operation that is given one of them and one of the CPU's raises the error that CUDA raises, and
none becomes a NumPy array. So a test on any machine finds a tensor that was left on the wrong side. It says nothing
about CUDA's kernels, their speed or their numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

CUDA = torch.device("cuda", 0)
MOVES = {Tensor.to, Tensor.cpu}
CROSSING = {Tensor.copy_, Tensor.module_load, *MOVES}
"""Operations that take tensors of both devices."""
INDEXING = {Tensor.__getitem__, Tensor.__setitem__, Tensor.index_put_, torch.index_put}
"""Operations of one device's tensor whose indices may lie on the CPU."""
TO_NUMPY = {Tensor.numpy, Tensor.__array__}


class Second(Tensor):
    """A tensor of the second device."""


class _Mode(TorchFunctionMode):
    """Every call of torch's interface, while the second device is there."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
        second = any(isinstance(each, Second) for each in given)
        name = getattr(func, "__name__", "")
        if func in (torch.device, torch._C._nn._parse_to):  # the latter reads the arguments of Module.to
            return func(*args, **kwargs)
        if func is torch._has_compatible_shallow_copy_type:
            return type(args[0]) is type(args[1])
        if name == "__get__" and second:
            return self._property(func, args[0])
        if func in TO_NUMPY and second:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        self._refuse_mixed(func, given, args)
        target, args, kwargs = self._target(func, args, kwargs, second)
        result = _on_cpu(func, args, kwargs)
        if target.type == "cuda" and not second and func in MOVES:
            result = result.clone()  # memory of its own, as a copy to a device has
        if func is Tensor.copy_:
            return args[0]
        if func is Tensor.module_load:
            return _as(result, type(args[0]))
        kind = Second if target.type == "cuda" else Tensor
        return tree_map(lambda each: _as(each, kind), result)

    def _property(self, func: Any, tensor: Tensor) -> Any:
        which = getattr(func.__self__, "__name__", "")
        known = {"device": CUDA, "is_cuda": True, "is_cpu": False}
        if which in known:
            return known[which]
        result = _on_cpu(func, (tensor,), {})
        return tree_map(lambda each: _as(each, Second), result)

    def _refuse_mixed(self, func: Any, given: Sequence[Tensor], args: tuple[Any, ...]) -> None:
        if func in CROSSING or getattr(func, "__name__", "") == "__set__":
            return
        if func in INDEXING and isinstance(args[0], Second):
            given = [args[0], *(each for each in tree_flatten(args[2:])[0] if isinstance(each, Tensor))]
        sides = {isinstance(each, Second) for each in given if each.ndim or isinstance(each, Second)}
        if len(sides) == 2:
            shapes = [(tuple(each.shape), "cuda:0" if isinstance(each, Second) else "cpu") for each in given]
            name = getattr(func, "__name__", func)
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got {shapes}")

    def _target(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], second: bool
    ) -> tuple[torch.device, tuple[Any, ...], dict[str, Any]]:
        """The device of the result, and the arguments with every device but "meta" replaced by the CPU."""
        target = CUDA if second else torch.device("cpu")
        if func is Tensor.cpu:
            target = torch.device("cpu")
        if func in MOVES and len(args) > 1 and isinstance(args[1], Tensor):
            target = CUDA if isinstance(args[1], Second) else torch.device("cpu")
        places = [each for each in (*args[1:2], kwargs.get("device")) if isinstance(each, str | torch.device)]
        if func not in MOVES:
            places = [each for each in (kwargs.get("device"),) if each is not None]
        for place in places:
            target = torch.device(place)

        def here(each: Any) -> Any:
            if isinstance(each, torch.device) and each.type == "cuda":
                return torch.device("cpu")
            return "cpu" if isinstance(each, str) and each.split(":")[0] == "cuda" else each

        return target, tuple(map(here, args)), {key: here(value) for key, value in kwargs.items()}


def _on_cpu(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        return func(*args, **kwargs)


def _as(each: Any, kind: type[Tensor]) -> Any:
    """A result as a tensor of one side; parameters and what is no tensor stay."""
    if not isinstance(each, Tensor) or type(each) is kind or each.device.type == "meta":
        return each
    if kind is Second:
        return each.as_subclass(Second)
    return each.as_subclass(Tensor) if isinstance(each, Second) else each


@contextmanager
def second_device() -> Iterator[torch.device]:
    """While it is open, "cuda" is a device that torch sees and that holds tensors apart from the CPU's."""
    swapped = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # else a moved parameter loses its class
    try:
        with (
            mock.patch.object(torch.cuda, "is_available", lambda: True),
            mock.patch.object(torch.cuda, "device_count", lambda: 1),
            mock.patch.object(torch.cuda, "is_initialized", lambda: True),
            mock.patch.object(torch.cuda, "current_device", lambda: 0),
            mock.patch.object(torch.cuda, "is_bf16_supported", lambda *_: True),
            mock.patch.object(torch.cuda, "synchronize", lambda *_: None),
            mock.patch.object(torch.cuda, "empty_cache", lambda: None),
            _Mode(),
        ):
            yield CUDA
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swapped)
