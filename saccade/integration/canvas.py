"""Growing canvas: the last reader saw everything that all looks have shown."""

from collections.abc import Sequence

from saccade.integration import Integrator, readable
from saccade.types import Answer, Step


class LastAnswer(Integrator):
    """The last answer, unless it is "cannot read" or empty and an earlier one is not."""

    def __call__(self, steps: Sequence[Step]) -> Answer:
        return readable(steps)[-1].answer
