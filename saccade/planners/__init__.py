"""Planners decide where to look next. One file per planner; the file's name is the planner's name.

A planner is a generator: it yields a `Gaze` and is sent the `Step` that gaze caused. It sees neither engine, Ray nor
asyncio, so replaying the steps of a stored trace through it must give the same gazes. It judges "not yet shown" by its
own steps: on a shared canvas another question may have shown a token; the sampler then adds what lies around it.
"""

from abc import abstractmethod
from collections.abc import Callable, Generator
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from saccade.registry import Strategy
from saccade.types import Gaze, Need, Scene, Step

Score = Callable[[Scene], Tensor]
"""The run's scorer: (scene) -> (B, N) float32 in [0, 1]."""


class Planner(Strategy):
    """Yields gazes forever; the episode decides how many are taken. The scene holds one image (B = 1)."""

    inhibition_radius: float = Field(
        0.1, ge=0, le=1, description="No gaze returns within this distance of an earlier one, in longer sides."
    )

    reads: ClassVar[tuple[Need, ...]] = ()
    """Everything of a scene that it may read beside places and the scores it asks for, as `Scorer.reads`."""

    @abstractmethod
    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        """`step = yield Gaze(...)`: looked there; `step.answer` says how sure the reader was."""
