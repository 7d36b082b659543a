"""What reductions learn: small training functions for the resampler and the autoencoder, fusion gates and
DynamicViT. Each takes any tower's tokens or blocks; `saccade.heads.files.save` keeps the result.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from pydantic import PrivateAttr
from torch import Tensor, nn
from torch.nn.functional import gumbel_softmax, mse_loss, scaled_dot_product_attention

from saccade.families._walk import Blocks
from saccade.geometry.rotary import rotate
from saccade.heads.codec import Codec
from saccade.heads.keep import KeepScores
from saccade.heads.queries import Queries
from saccade.reduction import Reduction
from saccade.reduction.dynamicvit import stage_blocks
from saccade.reduction.fusion import Fusion
from saccade.training.fit import fit

Batch = tuple[Tensor, Tensor]
"""Tokens (B, N, D) and their centres (B, N, 2) in uv."""


def train_resampler(
    module: Queries,
    batches: Iterable[Batch],
    steps: int,
    task: Callable[[Tensor, int], Tensor] | None = None,
    rate: float = 3e-3,
) -> list[float]:
    """Trains queries on what a task needs of them; returns the loss of every step.

    `task` takes the tokens (B, K, D) made of a batch and its number, and gives a loss: the language model's, for use
    with one. Without it they learn to hold what was there: each token is to be rebuilt from them, read back by the
    attention that they paid it.
    """

    def losses() -> Iterator[Tensor]:
        for number, (tokens, centre_uv) in enumerate(batches):
            made, seen = module(tokens, centre_uv)
            yield rebuilding_loss(made, seen, tokens) if task is None else task(made, number)

    return fit(module, losses(), steps, rate)


def rebuilding_loss(made: Tensor, seen: Tensor, tokens: Tensor) -> Tensor:
    """How far (B, N, D) tokens are from those rebuilt from (B, K, D), each by its shares of the attention (B, K, N)."""
    share = seen / seen.sum(1, keepdim=True).clamp(min=1e-9)
    return mse_loss(share.transpose(1, 2) @ made.float(), tokens.float())


def train_autoencoder(codec: Codec, batches: Iterable[Tensor], steps: int, rate: float = 3e-3) -> list[float]:
    """Trains a codec to give back tokens (..., D); returns the mean squared error of every step.

    It starts at the principal components of the first batch (`Codec.start`), so that all it learns goes beyond them.
    """
    source = iter(batches)
    first = next(source)
    codec.start(first.flatten(0, -2))

    def losses() -> Iterator[Tensor]:
        yield mse_loss(codec(first), first.float())
        for tokens in source:
            yield mse_loss(codec(tokens), tokens.float())

    return fit(codec, losses(), steps, rate)


class _Gated(Fusion):
    """Fusion whose gates have gradients."""

    _now: Tensor = PrivateAttr()

    def gate(self, layer: int, num_layers: int) -> float | Tensor:
        return self._now[layer]


class Gates(nn.Module):
    """A gate for each block of a tower, from where a fusion has them. 0 and 1 start at 0.05 and 0.95: at the ends there
    is no gradient."""

    def __init__(self, fusion: Fusion, num_layers: int) -> None:
        super().__init__()
        start = torch.tensor([float(fusion.gate(layer, num_layers)) for layer in range(num_layers)])
        self.fusion, self.logits = fusion, nn.Parameter(torch.logit(start.clamp(0.05, 0.95)))

    def learning(self) -> Fusion:
        """The fusion with the gates of now, and their gradients."""
        gated = _Gated(**self.fusion.model_dump())
        gated._now = self.logits.sigmoid()
        return gated

    def settled(self) -> Fusion:
        """The fusion with the gates of now as plain settings."""
        gates = tuple(round(float(gate), 4) for gate in self.logits.detach().sigmoid())
        return Fusion(**{**self.fusion.model_dump(), "gates": gates})


def train_gates(
    fusion: Fusion, loss_of: Callable[[Reduction], Tensor], num_layers: int, steps: int, rate: float = 0.1
) -> tuple[Fusion, list[float]]:
    """Learns a gate for each block of a tower, from where `fusion` has them; the fusion with them, and every loss.

    `loss_of` runs the tower with the reduction it is given (`saccade.families._vit.encode`) and says how bad that was.
    """
    gates = Gates(fusion, num_layers)

    def losses() -> Iterator[Tensor]:
        while True:
            yield loss_of(gates.learning())

    curve = fit(gates, losses(), steps, rate)
    return gates.settled(), curve


class Halves(Protocol):
    """A block of a tower in its two halves, each with its residual. States are (B, N, F) or (B, N, M, F)."""

    def attend(self, states: Tensor, mask: Tensor) -> Tensor:
        """States after the attention; `mask` (B, 1, N, N) is added to its logits."""
        ...

    def mlp(self, states: Tensor) -> Tensor:
        """States after the MLP."""
        ...


class ViTHalves:
    """Of a block of transformers' ViTModel."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def attend(self, states: Tensor, mask: Tensor) -> Tensor:
        """The first half."""
        return states + self.layer.attention(self.layer.layernorm_before(states), mask)[0]  # type: ignore[no-any-return]

    def mlp(self, states: Tensor) -> Tensor:
        """The second half."""
        return states + self.layer.mlp(self.layer.layernorm_after(states))  # type: ignore[no-any-return]


class TowerHalves:
    """Of a block of a tower that takes reductions, for images of one size; a token is M patches, (B, N, M, F)."""

    def __init__(self, blocks: Blocks, layer: int, position: Tensor | None, window: Tensor) -> None:
        """`position` (N, M, 2) and `window` (N,) of the tokens, as they enter the first block."""
        self.blocks, self.layer, self.position, self.window = blocks, layer, position, window

    def attend(self, states: Tensor, mask: Tensor) -> Tensor:
        """The first half."""
        (images, num_tok, unit), flat = states.shape[:3], states.flatten(0, 2)
        query, key, value = (
            part.view(images, num_tok * unit, *part.shape[1:]) for part in self.blocks.project(self.layer, flat)
        )
        if self.position is not None:
            cos, sin = (turn.unsqueeze(1) for turn in self.blocks.turns(self.position.flatten(0, 1)))
            query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        if not self.blocks.full(self.layer):
            mask = mask.masked_fill(self.window[:, None] != self.window, float("-inf"))
        mask = mask.repeat_interleave(unit, -1).repeat_interleave(unit, -2).to(query.dtype)
        query, key, value = (each.transpose(1, 2) for each in (query, key, value))
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.blocks.scaling)
        return states + self.blocks.join(self.layer, mixed.transpose(1, 2).reshape(len(flat), -1)).view_as(states)

    def mlp(self, states: Tensor) -> Tensor:
        """The second half."""
        return states + self.blocks.mlp(self.layer, states.flatten(0, 2)).view_as(states)


Decide = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, N, 2) and who is left (B, N) -> who stays (B, N), 0 or 1."""


def drawn(logits: Tensor, alive: Tensor) -> Tensor:
    """Who stays by a Gumbel-softmax draw: 0 or 1, with the gradient of the soft draw (Jang et al. 2017)."""
    return alive * gumbel_softmax(logits, hard=True)[..., 0]


def hidden_forward(
    blocks: Sequence[Halves], scores: KeepScores, states: Tensor, fixed: Tensor, decide: Decide = drawn
) -> tuple[Tensor, list[Tensor]]:
    """A tower in which tokens that should go stay, unseen by the others: what it makes of the rest is the same.

    `states` (B, N, F), or (B, N, M, F), enter the first block; `fixed` (N,) bool never go.

    Returns: states after the last block; who is left after each stage, (B, N), 0 or 1 with gradients.
    """
    deciding = stage_blocks(scores.stages, len(blocks))
    alive, left = states.new_ones(states.shape[:2]), []
    itself = torch.eye(states.shape[1], dtype=torch.bool, device=states.device)
    for number, block in enumerate(blocks):
        seen = (alive + 1e-6).log()[:, None, None].masked_fill(itself, 0.0)  # (B, 1, N, N)
        states = block.attend(states, seen)
        if number in deciding:
            shown = states if states.ndim == 3 else states.mean(2)
            stays = decide(scores(deciding.index(number), shown, alive), alive)
            alive = torch.where(fixed, torch.ones_like(stays), stays)
            left.append(alive)
        states = block.mlp(states)
    return states, left


def train_dynamicvit(
    scores: KeepScores,
    blocks: Sequence[Halves],
    batches: Iterable[Tensor],
    task: Callable[[Tensor, Tensor, int], Tensor],
    fixed: Tensor,
    keep: float = 0.7,
    steps: int = 100,
    rate: float = 3e-3,
    strictness: float = 2.0,
    also: Iterable[nn.Parameter] = (),
) -> list[float]:
    """Trains keep scores on states (B, N, F) that enter a tower's first block; returns every step's loss.

    `task` takes the last states, who is left (B, N) and the batch's number, and gives a loss. Added to it is
    `strictness` times the squared difference of the share that a stage keeps from `keep`^stage. Gradients pass through
    the blocks; they are trained themselves only if their parameters are among `also`.
    """

    def losses() -> Iterator[Tensor]:
        for number, states in enumerate(batches):
            last, left = hidden_forward(blocks, scores, states, fixed)
            shares = torch.stack([alive[:, ~fixed].mean() for alive in left])
            target = keep ** torch.arange(1, len(left) + 1, device=shares.device)
            yield task(last, left[-1], number) + strictness * (shares - target).square().mean()

    return fit(scores, losses(), steps, rate, also=also)
