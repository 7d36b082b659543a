"""Most confident: the answer that the reader was surest of."""

from collections.abc import Sequence

from saccade.integration import Integrator, readable
from saccade.types import Answer, Step


class MostConfident(Integrator):
    """The most confident answer that could be read; the later of equals, which has seen more."""

    def __call__(self, steps: Sequence[Step]) -> Answer:
        return max(reversed(readable(steps)), key=lambda step: step.answer.confidence).answer
