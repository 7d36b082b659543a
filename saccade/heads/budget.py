"""The network of the learned budget: from picture and question to a distribution over budgets."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from saccade.errors import ConfigError
from saccade.types import Scene

LEVELS = (73, 111, 273, 421)


class BudgetNet(nn.Module):
    """(B, len(levels)) probabilities from the tokens' mean and spread and the question's mean.

    The last layer starts at zero: untrained, every budget is equally likely.
    """

    def __init__(self, width: int, levels: tuple[int, ...] = LEVELS, inner: int = 64) -> None:
        super().__init__()
        if not levels or min(levels) < 1 or list(levels) != sorted(set(levels)):
            raise ConfigError(f"budgets are whole numbers of tokens, rising; got {levels}")
        self.width, self.levels, self.inner = width, tuple(levels), inner
        self.first, self.last = nn.Linear(3 * width + 1, inner), nn.Linear(inner, len(levels))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def sizes(self) -> dict[str, object]:
        """The arguments of `__init__`, for the module's file."""
        return {"width": self.width, "levels": self.levels, "inner": self.inner}

    def features(self, scene: Scene) -> Tensor:
        """(B, 3 width + 1) float32: mean token, standard deviation, mean word, and the logarithm of the tokens' number.

        Raises:
            ConfigError: it was trained for tokens of another width.
        """
        words = scene.query_tokens.float()
        if words.shape[-1] != self.width:
            raise ConfigError(
                f"this budget was trained for tokens of width {self.width}; this model's are {words.shape[-1]}. Train "
                "one for this model"
            )
        real = scene.present.unsqueeze(-1).float()
        count = real.sum(1).clamp(min=1)
        tokens = normalize(scene.tokens[..., : self.width].float(), dim=-1) * real
        mean = tokens.sum(1) / count
        spread = ((tokens - mean.unsqueeze(1)).square() * real).sum(1) / count
        weight = scene.query_weight.float().unsqueeze(-1)
        mean_word = (normalize(words, dim=-1) * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        scale = self.width**0.5  # entries of about 1
        return torch.cat([scale * mean, scale * spread.sqrt(), scale * mean_word, count.log() / 10], -1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, len(levels)) float32 probabilities."""
        scores: Tensor = self.last(torch.nn.functional.gelu(self.first(features)))
        return scores.softmax(-1)

    def expected_tok(self, probability: Tensor) -> Tensor:
        """(B,) float32 expected number of tokens under distributions (B, len(levels))."""
        return probability @ torch.tensor(self.levels, dtype=probability.dtype, device=probability.device)
