"""The encoders and readers as the front uses them: replicas of Ray Serve, or in this process."""

from typing import Any, Protocol

import numpy as np
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import RayServeException

from pipelines.execute.serialization import freeze, thaw
from pipelines.serving.encoder import EncoderReplica, Sight
from pipelines.serving.reader import ReaderReplica, Said
from pipelines.serving.settings import ServeConfig
from saccade.config import Episode
from saccade.errors import EngineDead, EngineError, SaccadeError, describe
from saccade.seen import Put
from saccade.types import Canvas


class Backends(Protocol):
    """Encoders and readers. `affinity` is the picture's hash: all requests about a picture go to one replica."""

    async def see(
        self, data: bytes | np.ndarray, settings: Episode, question: str, affinity: str, more: Put | None = None
    ) -> Sight:
        """The start of an episode, without its picture. Of the deferred encodings it holds only `more`.

        Raises:
            SaccadeError: the picture or the question cannot be used, or the model failed.
        """
        ...

    async def read(self, canvas: Canvas, question: str, with_pieces: bool, affinity: str) -> Said:
        """One read of one canvas. Raises SaccadeError."""
        ...


class Remote:
    """Replicas of Ray Serve. A call to a replica that dies is repeated once, on another one."""

    def __init__(self, encoder: Any, reader: Any) -> None:
        self.encoder, self.reader = encoder, reader

    async def see(
        self, data: bytes | np.ndarray, settings: Episode, question: str, affinity: str, more: Put | None = None
    ) -> Sight:
        """As `Backends.see`."""
        return thaw(await _called(self.encoder, "see", affinity, data, settings, question, more))  # type: ignore[no-any-return]

    async def read(self, canvas: Canvas, question: str, with_pieces: bool, affinity: str) -> Said:
        """As `Backends.read`. A request holds the whole canvas, so another reader can answer it as well."""
        return thaw(await _called(self.reader, "read", affinity, freeze(canvas), question, with_pieces))  # type: ignore[no-any-return]


async def _called(handle: Any, method: str, affinity: str, *args: Any) -> Any:
    for last in (False, True):
        try:
            answer = await handle.options(method_name=method, session_id=affinity).remote(*args)
        except (RayActorError, RayServeException) as error:
            if last:
                raise EngineDead(f"a replica died ({type(error).__name__})") from error
        except RayTaskError as error:
            raise EngineError(describe(error.cause if isinstance(error.cause, Exception) else error)) from error
        else:
            if isinstance(answer, EngineDead) and not last:
                continue
            if isinstance(answer, SaccadeError):
                raise answer
            return answer
    raise AssertionError("the last try returns or raises")


class Local:
    """One encoder and one reader in this process, for tests and for measuring what Ray adds."""

    def __init__(self, config: ServeConfig, threads: int = 1) -> None:
        self.encoder, self.reader = EncoderReplica(config, threads), ReaderReplica(config, threads)

    async def see(
        self, data: bytes | np.ndarray, settings: Episode, question: str, affinity: str, more: Put | None = None
    ) -> Sight:
        """As `Backends.see`."""
        return thaw(_raised(await self.encoder.see(data, settings, question, more)))  # type: ignore[no-any-return]

    async def read(self, canvas: Canvas, question: str, with_pieces: bool, affinity: str) -> Said:
        """As `Backends.read`."""
        return thaw(_raised(await self.reader.read(freeze(canvas), question, with_pieces)))  # type: ignore[no-any-return]


def _raised(answer: Any) -> Any:
    if isinstance(answer, SaccadeError):
        raise answer
    return answer
