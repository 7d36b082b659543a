"""Attention received (I6): what the rest of the picture looks at, in the encoder's last full-attention layer."""

from torch import Tensor

from saccade.importance import Scorer
from saccade.types import Scene


class Received(Scorer):
    """Attention a token receives from all others: mean over heads and queries, patches summed (`Encoding.received`).

    Cost: nothing here; the encoder takes one layer's attention a second time, in chunks: 2 P^2 F FLOPs, P patches.
    """

    def raw(self, scene: Scene) -> Tensor:
        return scene.received
