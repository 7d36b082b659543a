"""Attention received: what the rest of the picture looks at, in the encoder's last full-attention layer."""

from typing import ClassVar

from torch import Tensor

from saccade.importance import Scorer
from saccade.types import Need, Scene


class Received(Scorer):
    """Attention a token receives from all others: mean over heads and queries, patches summed (`Encoding.received`).

    Cost: nothing here; the encoder takes one layer's attention a second time, in chunks: 2 P^2 F FLOPs, P patches.
    """

    reads: ClassVar[tuple[Need, ...]] = ("received",)

    def raw(self, scene: Scene) -> Tensor:
        return scene.received
