"""Trained heads of the scorers `late`, `learned` and `cross`.

A head is a folder written by `saccade.heads.files`: weights, and a card with its kind, its input (`at`: before or after
the merger), its widths, and notes on its training.

Shapes: B images, N tokens, M patches per token (1 after the merger), C their width, T words, D their width, E inner.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, normalize, pad

from saccade.errors import ConfigError
from saccade.heads.crosslevel import CrossLevel
from saccade.heads.files import CARD
from saccade.heads.surroundings import Surroundings
from saccade.tokens.similarity import over_words
from saccade.types import Scene
from saccade.wording import counted

CHUNK_VALUES = 2**21
"""Values of projected patches held at once (8 MiB), so that a page of 65,536 patches is never projected whole."""


class Head(nn.Module):
    """(B, N) logits of a scene's tokens; training fits their softmax over the tokens of an image."""

    kind: ClassVar[str]

    def __init__(self, at: str, token_width: int, word_width: int, inner: int) -> None:
        super().__init__()
        if at not in ("before", "after"):
            raise ConfigError(f"a head looks 'before' or 'after' the merger, not {at!r}")
        self.at, self.token_width, self.word_width, self.inner = at, token_width, word_width, inner

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of `__init__`, for the module's file."""
        names = ("at", "token_width", "word_width", "inner")
        return {name: getattr(self, name) for name in names}

    def patches(self, scene: Scene) -> Tensor:
        """(B, N, M, C) the head's input: patch features before the merger, or tokens after it (M = 1).

        Raises:
            ConfigError: it was trained for another model's widths.
        """
        patches = scene.features if self.at == "before" else scene.tokens.unsqueeze(2)
        widths = patches.shape[-1], scene.query_tokens.shape[-1]
        if widths != (self.token_width, self.word_width):
            raise ConfigError(
                f"this {self.kind} head was trained for tokens of width {self.token_width} {self.at} the merger and "
                f"words of {self.word_width}; this model's are {widths[0]} and {widths[1]}. Train one for this model"
            )
        return patches

    def chunks(self, patches: Tensor, width: int) -> tuple[Tensor, ...]:
        """Splits patches into chunks (B, n, M, C) of at most `CHUNK_VALUES` values at `width` values per patch."""
        per_token = patches.shape[0] * patches.shape[2] * max(width, patches.shape[-1])
        return torch.split(patches, max(1, CHUNK_VALUES // per_token), dim=1)

    def forward(self, scene: Scene) -> Tensor:
        """(B, N) float32 logits; undefined at padding."""
        raise NotImplementedError


def standardise(patches: Tensor) -> Tensor:
    """(B, N, M, C) float32, each patch at mean 0 and variance 1 over C: feature scales differ between towers."""
    return layer_norm(patches.float(), patches.shape[-1:])


class Late(Head):
    """Late interaction: the best cosine of a projected patch with a projected run of words, by a learned temperature.

    A run of `span` words is projected together (single bytes say little). With `channels` above 0 that cosine becomes
    one channel of evidence beside `channels` products of token and question, which tell what an answer looks like; a
    convolution over the page then judges each token by its surroundings.
    """

    kind = "late"

    def __init__(
        self, at: str, token_width: int, word_width: int, inner: int = 64, span: int = 1, channels: int = 0
    ) -> None:
        super().__init__(at, token_width, word_width, inner)
        if span % 2 == 0:
            raise ConfigError(f"span = {span} must be odd: a word and as many before as after it")
        self.span, self.channels = span, channels
        self.token = nn.Linear(token_width, inner, bias=False)
        self.word = nn.Linear(span * word_width, inner, bias=False)
        self.sharpness = nn.Parameter(torch.tensor(2.3))  # log of the factor 10
        if channels:
            self.looks, self.asks = nn.Linear(token_width, channels), nn.Linear(inner, channels)
            self.around = Surroundings(2 + channels)

    @property
    def sizes(self) -> dict[str, Any]:
        return {**super().sizes, "span": self.span, "channels": self.channels}

    def runs(self, words: Tensor) -> Tensor:
        """(B, T, E) float32: each word with its neighbours, projected, of unit length."""
        half = self.span // 2
        padded = pad(words.float(), (0, 0, half, half))
        runs = padded.unfold(1, self.span, 1).transpose(2, 3).flatten(2) if self.span > 1 else padded
        return normalize(self.word(runs), dim=-1)

    def forward(self, scene: Scene) -> Tensor:
        patches, near_parts = self.patches(scene), []
        runs = self.runs(scene.query_tokens)
        words = runs.transpose(1, 2)  # (B, E, T)
        for some in self.chunks(patches, self.inner + words.shape[-1]):
            near = normalize(self.token(some.float()), dim=-1).flatten(1, 2) @ words  # (B, n M, T)
            near_parts.append(near.view(*some.shape[:3], -1).amax(2))
        similarity = torch.cat(near_parts, 1)
        best = over_words(similarity, scene.query_weight, "max")
        if not self.channels:
            return best * self.sharpness.exp()
        mean = over_words(similarity, scene.query_weight, "mean")
        weight = scene.query_weight.float().unsqueeze(1)
        mean_word = self.asks((weight @ runs) / weight.sum(-1, keepdim=True).clamp(min=1e-9))  # (B, 1, channels)
        looks = torch.cat([self.looks(standardise(some)).amax(2) for some in self.chunks(patches, self.channels)], 1)
        evidence = torch.cat([best.unsqueeze(-1), mean.unsqueeze(-1), looks * mean_word], -1)
        evidence = evidence.masked_fill(~scene.present.unsqueeze(-1), 0.0)
        logits: Tensor = self.around(evidence, scene.row, scene.col, scene.present)
        return logits + best * self.sharpness.exp()


class MLP(Head):
    """A perceptron on the patch, one per level or one for all, plus the dot product with the projected question.

    The projection is part of the head, so features of any width meet words of any width.
    """

    kind = "mlp"

    def __init__(self, at: str, token_width: int, word_width: int, inner: int = 64, levels: int = 1) -> None:
        super().__init__(at, token_width, word_width, inner)
        self.levels = levels
        self.first = nn.ModuleList(nn.Linear(token_width, inner) for _ in range(levels))
        self.last = nn.ModuleList(nn.Linear(inner, 1) for _ in range(levels))
        self.question = nn.Linear(word_width, token_width, bias=False)

    @property
    def sizes(self) -> dict[str, Any]:
        return {**super().sizes, "levels": self.levels}

    def forward(self, scene: Scene) -> Tensor:
        patches, level = self.patches(scene), scene.level
        if self.levels > 1 and int(level.max()) >= self.levels:
            raise ConfigError(
                f"this head was trained on {counted(self.levels, 'level')}; the scene has {int(level.max()) + 1}. "
                "Ask for fewer"
            )
        weight = scene.query_weight.float().unsqueeze(1)
        mean = (weight @ scene.query_tokens.float()) / weight.sum(-1, keepdim=True).clamp(min=1e-9)  # (B, 1, D)
        mean_word = self.question(mean).transpose(1, 2) / self.token_width**0.5  # (B, C, 1)
        logits, start = [], 0
        for some in self.chunks(patches, self.inner):
            own, values = level[:, start : start + some.shape[1]], standardise(some)
            logit = (values.flatten(1, 2) @ mean_word).view(some.shape[:3])
            for number, (first, last) in enumerate(zip(self.first, self.last, strict=True)):
                judged = last(gelu(first(values))).squeeze(-1)
                logit = logit + judged if self.levels == 1 else logit + judged * (own == number).unsqueeze(-1)
            logits.append(logit.amax(2))
            start += some.shape[1]
        return torch.cat(logits, 1)


class Cross(Head):
    """Cross-attention: words are queries, patches keys; a token's logit is the log of the attention it receives.

    The attention of each word and head is a softmax over all patches of the image; it is summed over a token's
    patches and averaged over heads, and over words by weight.
    """

    kind = "cross"

    def __init__(self, at: str, token_width: int, word_width: int, inner: int = 64, heads: int = 4) -> None:
        super().__init__(at, token_width, word_width, inner)
        if inner % heads:
            raise ConfigError(f"inner = {inner} is not a multiple of heads = {heads}")
        self.heads = heads
        self.query, self.key = nn.Linear(word_width, inner), nn.Linear(token_width, inner)

    @property
    def sizes(self) -> dict[str, Any]:
        return {**super().sizes, "heads": self.heads}

    def forward(self, scene: Scene) -> Tensor:
        patches, weight = self.patches(scene), scene.query_weight.float()
        images, tokens, merged = patches.shape[:3]
        split = (images, -1, self.heads, self.inner // self.heads)
        keys = torch.cat([self.key(standardise(some)) for some in self.chunks(patches, self.inner)], 1)
        keys = keys.reshape(split).permute(0, 2, 3, 1)  # (B, heads, E / heads, N M)
        queries = self.query(standardise(scene.query_tokens)).view(split).transpose(1, 2)  # (B, heads, T, E / heads)
        absent = ~scene.present.repeat_interleave(merged, 1)[:, None, None]
        step = max(1, CHUNK_VALUES // (images * self.heads * tokens * merged))
        total = keys.new_zeros(images, tokens * merged)
        for some, share in zip(torch.split(queries, step, 2), torch.split(weight, step, 1), strict=True):
            logits = (some @ keys / split[-1] ** 0.5).masked_fill(absent, float("-inf"))
            total = total + (logits.softmax(-1).mean(1) * share.unsqueeze(-1)).sum(1)
        received = total.view(images, tokens, merged).sum(-1) / weight.sum(-1, keepdim=True).clamp(min=1e-9)
        return received.clamp(min=1e-20).log()


KINDS: dict[str, type[Head]] = {head.kind: head for head in (Late, MLP, Cross)}
SCORERS = {"late": "late", "mlp": "learned", "cross": "cross"}
"""The scorer of each kind of head."""


def kind_of(folder: Path) -> str:
    """The kind of head in a folder.

    Raises:
        ConfigError: the folder holds no head.
    """
    name = read_card(folder).get("kind")
    for kind, head in KINDS.items():
        if head.__name__ == name:
            return kind
    raise ConfigError(f"{folder} holds a {name}, which is no head of a scorer ({', '.join(KINDS)})")


def looks_by(folder: Path) -> dict[str, Any]:
    """Settings of an episode that looks by what a folder holds: a head, or attention across levels with its levels.

    Raises:
        ConfigError: it holds neither.
    """
    card = read_card(folder)
    if card.get("kind") == CrossLevel.__name__:
        return {"scorer": [{"name": "crosslevel", "weights": str(folder)}], "levels": card["sizes"]["levels"]}
    return {"scorer": [{"name": SCORERS[kind_of(folder)], "head": str(folder)}]}


def trained_on(folder: Path) -> int | None:
    """The number of pages that a head was trained on, from its card; None: the card does not say.

    Raises:
        ConfigError: the folder holds no head.
    """
    notes = read_card(folder).get("notes") or {}
    said = [(notes.get("report") or {}).get("pages"), notes.get("pages"), notes.get("steps")]
    return next((int(pages) for pages in said if pages is not None), None)  # `train gaze`: a page of its own a step


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a head: kind, sizes and notes.

    Raises:
        ConfigError: the folder holds no head.
    """
    try:
        return dict(json.loads((folder / CARD).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{folder} holds no head: `saccade train head --output {folder}` makes one ({error})"
        ) from error
