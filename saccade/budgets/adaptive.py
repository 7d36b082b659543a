"""Adaptive budget: more tokens for complex pictures, fewer for simple ones, in four steps under a hard cap."""

from weakref import WeakKeyDictionary

import numpy as np
from pydantic import Field

from saccade.budgets import MAX_TOK, Budget
from saccade.budgets._quantiles import QUANTILES
from saccade.geometry.complexity import TERMS, quantile, terms
from saccade.picture import Picture
from saccade.types import Scene

LEVELS = (180, 273, 365, 456)
THRESHOLDS = (0.3, 0.6, 0.85)
WEIGHTS = (0.4, 0.4, 0.2)

_KNOWN: WeakKeyDictionary[Picture, float] = WeakKeyDictionary()  # gone with the picture


class Adaptive(Budget):
    """180, 273, 365 or 456 tokens at every fixation, by the picture's complexity, and never more than `most`.

    Complexity = 0.4 edges + 0.4 entropy + 0.2 variance of saliency; the steps are at 0.3, 0.6 and 0.85. Each term is
    its quantile among generated pages and scenes: raw, they lie in narrow bands of their own and every picture would
    get the same. The tables are data (`python -m saccade.training.quantiles`). Images of one budget make a rectangular
    batch (group them by it); an episode looks at one image, so nothing is padded.
    """

    most: int = Field(456, ge=1, le=MAX_TOK, description="Visual tokens per fixation that no picture exceeds.")

    def __call__(self, scene: Scene) -> list[int]:
        return [self.level(complexity(picture)) for picture in scene.pictures]

    def level(self, complex_: float) -> int:
        """Tokens for a complexity in [0, 1]."""
        return min(self.most, LEVELS[sum(complex_ >= threshold for threshold in THRESHOLDS)])

    @property
    def most_tok(self) -> int:
        return min(self.most, LEVELS[-1])


def complexity(picture: Picture) -> float:
    """In [0, 1], by the tables of quantiles. Free of the question, so all questions of a picture share it."""
    if picture not in _KNOWN:
        raw = terms(picture.rgb)
        parts = (quantile(float(value), np.array(QUANTILES[name])) for name, value in zip(TERMS, raw, strict=True))
        _KNOWN[picture] = sum(weight * part for weight, part in zip(WEIGHTS, parts, strict=True))
    return _KNOWN[picture]
