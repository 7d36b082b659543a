"""What the actors of one attempt are told, and what they do when an engine is gone."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.execute.async_reader import is_gone
from pipelines.execute.diagnosis import is_full
from pipelines.runs.layout import Layout
from saccade.config import Episode
from saccade.engines import EngineSpec
from saccade.errors import describe


@dataclass(frozen=True, slots=True)
class Plan:
    """Values only: each actor opens its own resources."""

    dataset: dict[str, Any]
    episode: Episode
    engine: EngineSpec
    limit_px: int | None
    answers: Path
    hidden: Path  # the run's .saccade folder
    attempt: str
    namespace: str  # of the named actors
    num_encoders: int
    num_readers: int
    encode_batch: int | None  # images in one pass of the tower, at most; None: what its device gains by
    episodes_per_looker: int  # open on one reader at a time
    threads: int
    max_restarts: int = 3  # times a request that killed an actor, or did not reach it, is repeated; 0: never
    hang_s: float = 900.0  # who answers nobody for so long, encoder or reader, is ended; its requests are repeated

    @property
    def staging(self) -> Path:
        """Where this attempt's answers are written before they are renamed."""
        return self.layout.staging(self.attempt)

    @property
    def layout(self) -> Layout:
        """The run's folder."""
        return Layout(self.hidden.parent)

    @property
    def ledger(self) -> str:
        """Name of the ledger actor."""
        return f"ledger-{self.attempt}"

    def encoder(self, number: int) -> str:
        """Name of one encoder actor."""
        return f"encoder-{self.attempt}-{number}"

    def reader(self, number: int) -> str:
        """Name of one reader actor."""
        return f"reader-{self.attempt}-{number}"


def survived(error: Exception, plan: Plan) -> Exception:
    """An error that costs one row comes back. One that costs the engine ends this process, and Ray starts another.

    Raises:
        OSError: the disk is full. It ends the run.
    """
    if is_full(error):
        raise error
    if is_gone(error):
        death = {"attempt": plan.attempt, "pid": os.getpid(), "error": describe(error)}
        with suppress(OSError), plan.layout.deaths.open("a") as file:  # the process ends also where this is not told
            file.write(json.dumps(death) + "\n")
        os._exit(1)
    return error
