"""Top-K: the most important tokens, wherever they are."""

from torch import Tensor

from saccade.samplers import Sampler
from saccade.types import Scene


class TopK(Sampler):
    """The `keep` most important tokens."""

    def priority(self, scene: Scene, importance: Tensor, gaze_uv: Tensor, keep: int) -> Tensor:
        return importance
