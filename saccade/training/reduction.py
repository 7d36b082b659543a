"""Training of reductions: resampler, autoencoder, fusion's gates, and DynamicViT in towers that mask dropped tokens.

Each works on any tower's tokens or blocks; `saccade.heads.files.save` writes the result.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from pydantic import PrivateAttr
from torch import Tensor, nn
from torch.nn.functional import gumbel_softmax, mse_loss, scaled_dot_product_attention

from saccade.families._walk import Blocks
from saccade.geometry.rotary import rotate
from saccade.heads.codec import Codec
from saccade.heads.keep import KeepScores
from saccade.heads.queries import Queries
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
    """Trains queries on the loss of a task; returns the loss of every step.

    `task` takes the tokens (B, K, D) made of a batch and its number, and gives a loss: the language model's, for use
    with one. Without it they learn to hold what was there: each token is to be rebuilt from them, read back by the
    attention that they paid it.
    """

    def losses() -> Iterator[Tensor]:
        for number, (tokens, centre_uv) in enumerate(batches):
            queries, attention = module(tokens, centre_uv)
            yield rebuilding_loss(queries, attention, tokens) if task is None else task(queries, number)

    return fit(module, losses(), steps, rate)


def rebuilding_loss(codes: Tensor, attention: Tensor, tokens: Tensor) -> Tensor:
    """() mean squared error of `tokens` (B, N, D), rebuilt from `codes` (B, K, D) by their `attention` (B, K, N)."""
    share = attention / attention.sum(1, keepdim=True).clamp(min=1e-9)
    return mse_loss(share.transpose(1, 2) @ codes.float(), tokens.float())


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
        """The fusion with the current gates, which carry gradients."""
        gated = _Gated(**self.fusion.model_dump())
        gated._now = self.logits.sigmoid()
        return gated

    def settled(self) -> Fusion:
        """The fusion with the current gates as plain settings."""
        gates = tuple(round(float(gate), 4) for gate in self.logits.detach().sigmoid())
        return Fusion(**{**self.fusion.model_dump(), "gates": gates})


class TowerHalves:
    """A block of a tower in its two halves, each with its residual, for images of one size.

    States are (B, N, M, F): a token is M patches.
    """

    def __init__(self, blocks: Blocks, layer: int, position: Tensor | None, window: Tensor) -> None:
        """`position` (N, M, 2) and `window` (N,) of the tokens, as they enter the first block."""
        self.blocks, self.layer, self.position, self.window = blocks, layer, position, window

    def attend(self, states: Tensor, mask: Tensor) -> Tensor:
        """States after the attention; `mask` (B, 1, N, N) is added to its logits."""
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
        """States after the MLP."""
        return states + self.blocks.mlp(self.layer, states.flatten(0, 2)).view_as(states)


Decide = Callable[[Tensor, Tensor], Tensor]
"""(logits (B, N, 2), tokens left (B, N)) -> tokens that stay (B, N), 0 or 1."""


def drawn(logits: Tensor, alive: Tensor) -> Tensor:
    """(B, N) 0 or 1: which tokens stay by a Gumbel-softmax draw, with the soft draw's gradient (Jang et al. 2017)."""
    return alive * gumbel_softmax(logits, hard=True)[..., 0]


def hidden_forward(
    blocks: Sequence[TowerHalves], scores: KeepScores, states: Tensor, fixed: Tensor, decide: Decide = drawn
) -> tuple[Tensor, list[Tensor]]:
    """Runs a tower that masks dropped tokens from attention instead of removing them; the rest come out the same.

    `states` (B, N, M, F) enter the first block; `fixed` (N,) bool never go.

    Returns: states after the last block; per stage the tokens left after it, (B, N), 0 or 1 with gradients.
    """
    deciding = stage_blocks(scores.stages, len(blocks))
    alive, alive_after = states.new_ones(states.shape[:2]), []
    itself = torch.eye(states.shape[1], dtype=torch.bool, device=states.device)
    for number, block in enumerate(blocks):
        visible = (alive + 1e-6).log()[:, None, None].masked_fill(itself, 0.0)  # (B, 1, N, N)
        states = block.attend(states, visible)
        if number in deciding:
            stays = decide(scores(deciding.index(number), states.mean(2), alive), alive)
            alive = torch.where(fixed, torch.ones_like(stays), stays)
            alive_after.append(alive)
        states = block.mlp(states)
    return states, alive_after
