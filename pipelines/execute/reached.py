"""A request to a named actor that Ray restarts: repeated while the actor cannot be reached, told when it is dead."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ray

from saccade.errors import EngineDead

UNREACHABLE_S, UNREACHABLE_TRIES = 5.0, 12
"""A request to an actor that cannot be reached is repeated so often, so long apart: its node may be gone, which Ray
learns in seconds, and starts the actor elsewhere."""


async def reached(who: str, request: Callable[[], Awaitable[Any]], *, repeat: bool) -> Any:
    """What the actor answers. `repeat`: one that cannot be reached is asked again.

    Raises:
        EngineDead: it died, or cannot be reached, also when the request was repeated.
    """
    for tries_left in reversed(range(UNREACHABLE_TRIES if repeat else 1)):
        try:
            return await request()
        except ray.exceptions.ActorUnavailableError as error:
            if not tries_left:
                raise EngineDead(f"{who} died, or cannot be reached") from error
            await asyncio.sleep(UNREACHABLE_S)
        except ray.exceptions.RayActorError as error:
            raise EngineDead(f"{who} died, and died again when its request was repeated") from error
    raise AssertionError("the last try returns or raises")
