"""What the encoder and the reader replica share: the engine they hold open, and how they report that it is gone."""

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
        """Raises when the engine is gone: Serve then starts another replica."""
        if self.dead:
            raise EngineDead(self.dead)

    def failed(self, error: Exception) -> SaccadeError:
        """The error as it goes back to the one request it costs; remembered where it costs the engine."""
        if is_gone(error):
            self.dead = describe(error)
            return error if isinstance(error, EngineDead) else EngineDead(self.dead)
        return error if isinstance(error, SaccadeError) else EngineError(describe(error))
