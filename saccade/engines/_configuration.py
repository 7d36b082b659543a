"""A checkpoint's configuration, read and checked before anything of it is loaded."""

from pathlib import Path
from typing import Any

from saccade.engines._completeness import check
from saccade.errors import ConfigError
from saccade.families._hub import reach


def model_type(path: str) -> str:
    """`model_type` of a checkpoint's configuration. Raises as `configuration`."""
    return str(configuration(path).model_type)


def configuration(path: str) -> Any:
    """A checkpoint's configuration, as transformers has it.

    Raises:
        ConfigError: there is no such checkpoint, here or on the hub, or a file of it is missing or damaged.
    """
    from transformers import AutoConfig

    check(path)
    reach(path)
    try:
        return AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        absent = path.startswith(("/", ".", "~")) and not Path(path).exists()  # the hub's words are about names
        why = "there is no such folder." if absent else str(error).splitlines()[0]
        raise ConfigError(f"no model {path!r}: {why} Give 'nano', a checkpoint folder, or a name on the hub") from error
