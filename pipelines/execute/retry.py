"""A request to a named actor that Ray restarts: repeated while it cannot be reached, an error once it is dead."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ray

from saccade.errors import EngineDead

UNREACHABLE_S, UNREACHABLE_TRIES = 5.0, 12
"""Pause between requests to an actor that cannot be reached, and how many: its node may be gone, which Ray learns
within seconds, and it then starts the actor elsewhere."""


async def reached(who: str, request: Callable[[], Awaitable[Any]], *, repeat: bool) -> Any:
    """What the actor answers. `repeat`: one that cannot be reached is asked again.

    Raises:
        EngineDead: it died, or cannot be reached, even when the request is repeated.
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
