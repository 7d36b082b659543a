"""The training loop of all small modules: one step per loss, at a rate that falls to 0 along half a cosine."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def fit(
    module: nn.Module,
    losses: Iterable[Tensor],
    steps: int,
    rate: float,
    *,
    weight_decay: float = 0.0,
    also: Iterable[nn.Parameter] = (),
) -> list[float]:
    """Trains a module in place with AdamW on `steps` losses, gradients clipped to norm 1; leaves it in evaluation mode.

    `losses` is consumed lazily, one loss per step; if it ends early, so does the training. `also`: parameters of other
    modules to train as well. Returns the losses as numbers.
    """
    trained = [*module.parameters(), *also]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    curve = []
    module.train()
    for _, loss in zip(range(steps), losses, strict=False):
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        curve.append(float(loss.detach()))
    module.eval()
    return curve
