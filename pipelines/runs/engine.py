"""The engine of a run or an endpoint with its precision spelled out."""

from saccade.engines import EngineSpec
from saccade.machine import resolved_device


def settled(engine: EngineSpec, here: bool) -> EngineSpec:
    """The engine with its precision spelled out: what `auto` stands for must not change between two parts of a run.

    `here`: it opens on this machine, so that a device that is not there is refused now.

    Raises:
        ConfigError: there is no such device.
    """
    kind = resolved_device(engine.device).type if here or not engine.device.startswith("cuda") else "cuda"
    if engine.dtype != "auto":
        return engine
    return engine.with_settings(dtype="bfloat16" if kind == "cuda" else "float32")
