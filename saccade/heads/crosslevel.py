"""Cross-level attention: tokens of all levels look at each other before any is selected."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from saccade.errors import ConfigError
from saccade.types import Scene

OCTAVES = 6
CHUNK_TOK = 2048
"""Query tokens per chunk of the attention, so that 16,384 tokens never need all pairs at once."""


class CrossLevel(nn.Module):
    """(B, N) logits of the tokens of a scene of several levels.

    Every token is encoded (one encoder for all levels, or a separate one for each), its level's embedding, its
    position's (Fourier features of its centre) and the question's are added, all tokens of an image attend to each
    other once, and a perceptron reads each one's logit. The readout starts at zero on top of the variance over a
    token's width: untrained, the order is that of feature variance.
    """

    def __init__(
        self, width: int, word_width: int, levels: int = 4, inner: int = 64, heads: int = 4, separate: bool = False
    ) -> None:
        super().__init__()
        if inner % heads:
            raise ConfigError(f"{heads} heads do not divide a width of {inner}")
        self.width, self.word_width, self.levels = width, word_width, levels
        self.inner, self.heads, self.separate = inner, heads, separate
        self.encoders = nn.ModuleList(nn.Linear(width, inner) for _ in range(levels if separate else 1))
        self.level = nn.Embedding(levels, inner)
        self.position = nn.Linear(4 * OCTAVES, inner)
        self.question = nn.Linear(word_width, inner, bias=False)
        self.attention = nn.Linear(inner, 3 * inner)
        self.mixed = nn.Linear(inner, inner)
        self.hidden = nn.Linear(inner, 2 * inner)
        self.readout = nn.Linear(2 * inner, 1)
        nn.init.zeros_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)

    @property
    def sizes(self) -> dict[str, object]:
        """The arguments of `__init__`, for the module's file."""
        names = ("width", "word_width", "levels", "inner", "heads", "separate")
        return {name: getattr(self, name) for name in names}

    def forward(self, scene: Scene) -> Tensor:
        """(B, N) float32 logits; undefined at padding.

        Raises:
            ConfigError: the scene's tokens or words have other widths, or it has more levels.
        """
        sizes = (scene.tokens.shape[-1], scene.query_tokens.shape[-1], int(scene.level.max()) + 1)
        if sizes[:2] != (self.width, self.word_width) or sizes[2] > self.levels:
            raise ConfigError(
                f"this network was made for tokens of width {self.width}, words of {self.word_width} and up to "
                f"{self.levels} levels; the scene has {sizes[0]}, {sizes[1]} and {sizes[2]}"
            )
        spread = scene.tokens.float().var(-1, correction=0)
        count = scene.present.sum(-1, keepdim=True).clamp(min=1)
        mean = (spread * scene.present).sum(-1, keepdim=True) / count
        scale = (((spread - mean).square() * scene.present).sum(-1, keepdim=True) / count).sqrt().clamp(min=1e-12)
        states = self.attend(self.embed(scene), scene.present)
        changed = self.readout(gelu(self.hidden(_norm(states)))).squeeze(-1)
        return (spread - mean) / scale + changed  # type: ignore[no-any-return]

    def embed(self, scene: Scene) -> Tensor:
        """(B, N, inner) float32: the sum of token, level, position and question embeddings."""
        values = _norm(scene.tokens.float())
        states = self.encoders[0](values)
        for number, encoder in enumerate(self.encoders):
            if number:
                states = torch.where((scene.level == number).unsqueeze(-1), encoder(values), states)
        weight = scene.query_weight.float().unsqueeze(1)  # (B, 1, T)
        mean_word = (weight @ scene.query_tokens.float()) / weight.sum(-1, keepdim=True).clamp(min=1e-9)
        return (  # type: ignore[no-any-return]
            states + self.level(scene.level) + self.position(fourier(scene.centre_uv)) + self.question(_norm(mean_word))
        )

    def attend(self, states: Tensor, present: Tensor) -> Tensor:
        """(B, N, inner) states after self-attention over the tokens `present` (B, N) bool of each image."""
        batch, num_tok, _ = states.shape
        shape = (batch, num_tok, 3, self.heads, self.inner // self.heads)
        queries, keys, values = self.attention(_norm(states)).view(shape).permute(2, 0, 3, 1, 4)  # (B, heads, N, E)
        mask = None if bool(present.all()) else present[:, None, None]
        attended = [
            scaled_dot_product_attention(some, keys, values, attn_mask=mask) for some in queries.split(CHUNK_TOK, dim=2)
        ]
        return states + self.mixed(torch.cat(attended, 2).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _norm(values: Tensor) -> Tensor:
    return layer_norm(values, values.shape[-1:])


def fourier(uv: Tensor) -> Tensor:
    """(..., 24) sines and cosines of positions (..., 2) in [0, 1], from half a wave per side to 16 waves."""
    waves = 2.0 ** torch.arange(OCTAVES, device=uv.device) * math.pi
    phase = (uv.unsqueeze(-1) * waves).flatten(-2)
    return torch.cat([phase.sin(), phase.cos()], -1)
