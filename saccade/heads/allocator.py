"""The network of the learned level allocator: from question and levels to shares of a look's tokens."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from saccade.errors import ConfigError
from saccade.geometry.levels import level_masks
from saccade.tokens.similarity import cosine
from saccade.types import Scene

START = (0.1, 0.2, 0.3, 0.4)
"""Shares before training, finest first: 40/30/20/10 %, read from coarse to fine, as in the sampler `pyramid`."""


ROUNDING_TOK = 1e-3  # what a softmax in float32 may be off by


class LevelNet(nn.Module):
    """(B, levels) shares from the mean embedding of the question and each level's best and mean cosine with it.

    The last layer starts at zero with the logarithms of `start` as bias: untrained, every image gets exactly `start`.
    With `spare` above 0 it may leave some of a look's tokens unspent: initially that share, and the shares sum to less
    than 1.
    """

    def __init__(
        self,
        word_width: int,
        levels: int = 4,
        inner: int = 64,
        start: tuple[float, ...] = START,
        spare: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= spare < 1:
            raise ConfigError(f"the share that is left unspent to begin with is 0 or more and below 1, not {spare}")
        if len(start) != levels or min(start) <= 0:
            raise ConfigError(f"{levels} levels need {levels} positive shares to start from, not {start}")
        self.word_width, self.levels, self.inner, self.start = word_width, levels, inner, tuple(start)
        self.spare = spare
        self.first = nn.Linear(word_width + 2 * levels, inner)
        self.last = nn.Linear(inner, levels + (spare > 0))
        nn.init.zeros_(self.last.weight)
        spent = [share * (1 - spare) / sum(start) for share in start]
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor([*spent, spare] if spare else start).log())

    @property
    def sizes(self) -> dict[str, object]:
        """The arguments of `__init__`, for the module's file."""
        names = ("word_width", "levels", "inner", "start", "spare")
        return {name: getattr(self, name) for name in names}

    def forward(self, scene: Scene) -> Tensor:
        """(B, levels) float32 shares that sum to 1, or to less if some tokens are spared.

        A level that an image lacks has a share as well; the caller gives it to the other levels.

        Raises:
            ConfigError: it was trained for words of another width.
        """
        words = scene.query_tokens.float()
        if words.shape[-1] != self.word_width:
            raise ConfigError(
                f"this allocator was trained for words of width {self.word_width}; this model's are {words.shape[-1]}. "
                "Train one for this model"
            )
        weight = scene.query_weight.float().unsqueeze(1)  # (B, 1, T)
        mean_word = (weight @ words).squeeze(1) / weight.sum(-1).clamp(min=1e-9)
        mean_word = normalize(mean_word, dim=-1) * self.word_width**0.5
        is_word = weight > 0
        near = cosine(scene.tokens, words).masked_fill(~is_word, -1.0).amax(-1)  # (B, N)
        masks = level_masks(scene.level, scene.present, self.levels)  # (L, B, N)
        best = torch.where(masks, near, torch.tensor(-1.0, device=near.device)).amax(-1).T
        mean = ((near * masks).sum(-1) / masks.sum(-1).clamp(min=1)).T
        hidden = torch.nn.functional.gelu(self.first(torch.cat([mean_word, best, mean], -1)))
        return self.last(hidden).softmax(-1)[..., : self.levels]  # type: ignore[no-any-return]


def whole_tok(spent: Tensor, tokens: int) -> Tensor:
    """(B,) int64: the shares `spent` (B,) of a look's tokens, rounded up, at least one."""
    return (spent.double() * tokens - ROUNDING_TOK).ceil().clamp(1, tokens).long()
