"""What reductions learn: small training functions for the resampler and the autoencoder (R6), fusion gates (R3) and
DynamicViT (R2). Each takes any tower's tokens or blocks; `saccade.reduction._trained.save_trained` keeps the result.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from saccade.reduction.autoencoder import Codec
from saccade.reduction.resampler import Queries

Batch = tuple[Tensor, Tensor]
"""Tokens (B, N, D) and their centres (B, N, 2) in uv."""


def fit(parameters: Iterable[nn.Parameter], losses: Iterator[Tensor], steps: int, rate: float = 3e-3) -> list[float]:
    """One AdamW step a loss, with a linear fall of the rate; the losses of all steps."""
    optimizer = torch.optim.AdamW(list(parameters), lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    curve = []
    for _, loss in zip(range(steps), losses, strict=False):
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
        optimizer.step()
        schedule.step()
        curve.append(float(loss.detach()))
    return curve


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

    module.train()
    curve = fit(module.parameters(), losses(), steps, rate)
    module.eval()
    return curve


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

    codec.train()
    curve = fit(codec.parameters(), losses(), steps, rate)
    codec.eval()
    return curve
