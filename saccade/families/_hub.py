"""The Hugging Face hub, asked once whether it is there.

Its client tries every file five times over before it gives up: without a network that is half a minute for a checkpoint
that is nowhere, and as long for every file that a checkpoint in its cache does not have.
"""

import logging
import os
from functools import cache
from pathlib import Path

from saccade.errors import ConfigError, describe

TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


@cache
def reach(path: str) -> None:
    """Makes sure that a name on the hub can be looked up; a folder passes.

    Where the hub does not answer and its cache holds the checkpoint, this process and those that it starts ask no more.

    Raises:
        ConfigError: the hub does not answer, and its cache holds no such checkpoint.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if constants.HF_HUB_OFFLINE or Path(path).exists():
        return
    try:
        get_hf_file_metadata(hf_hub_url(path, "config.json"), timeout=TIMEOUT_S)
    except (HfHubHTTPError, HFValidationError):
        return  # it answered, or the name is none: who loads the checkpoint says what is wrong
    except Exception as error:  # the HTTP client's, or the socket's: of no common type
        why = f"{constants.ENDPOINT} does not answer ({describe(error)})"
        if not isinstance(try_to_load_from_cache(path, "config.json"), str):
            raise ConfigError(
                f"no model {path!r} here, and {why}. Without a network give 'nano' or a checkpoint folder"
            ) from error
        logger.warning("%s: %s is loaded from the hub's cache", why, path)
        constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"] = True, "1"
