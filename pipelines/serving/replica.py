"""The base of encoder and reader replicas: the engine they hold open, and the report that it has died."""

from contextlib import ExitStack

import torch

from pipelines.execute.async_reader import is_gone
from saccade.errors import EngineDead, EngineError, SaccadeError, describe


class Replica:
    """A process of Serve that holds an engine."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.stack = ExitStack()
        self.dead = ""

    def __del__(self) -> None:
        self.stack.close()

    def check_health(self) -> None:
        """Raises if the engine has died; Serve then starts another replica."""
        if self.dead:
            raise EngineDead(self.dead)

    def failed(self, error: Exception) -> SaccadeError:
        """The error to return for the request that failed; an engine's death is remembered for `check_health`."""
        if is_gone(error):
            self.dead = describe(error)
            return error if isinstance(error, EngineDead) else EngineDead(self.dead)
        return error if isinstance(error, SaccadeError) else EngineError(describe(error))
