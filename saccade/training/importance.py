"""Trains the heads of learned scorers (I2 late, I13 learned, I16 cross) on scenes whose tokens have targets.

    head = Late("before", token_width=1280, word_width=3584)
    train_head(head, examples, steps=500)
    save(head, Path("heads/late"), data="...")  # then --set scorer='[{name: late, head: heads/late}]'

An example is a scene (a batch of images with their questions) and, for each token, how much of the target it is:
1 where an answer box lies, or any human map of attention. Where such targets come from is not decided here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from saccade.geometry.saved import save
from saccade.importance._heads import KINDS, MLP, Cross, Head, Late, load_head
from saccade.types import Scene

Example = tuple[Scene, Tensor]

__all__ = [
    "KINDS",
    "MLP",
    "Cross",
    "Example",
    "Head",
    "Late",
    "listwise",
    "load_head",
    "save",
    "train_head",
]


def listwise(logits: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of the softmax over an image's tokens to its target (B, N) >= 0, mean over images that have one.

    ListNet's top-one loss (Cao et al. 2007): it ranks tokens of one image, and no image against another.
    """
    log_p = logits.masked_fill(~present, float("-inf")).log_softmax(-1)
    target = target.float().masked_fill(~present, 0.0)
    mass = target.sum(-1)
    loss = -(target * log_p.masked_fill(~present, 0.0)).sum(-1) / mass.clamp(min=1e-9)
    return (loss * (mass > 0)).sum() / (mass > 0).sum().clamp(min=1)


def train_head(
    head: Head, examples: Sequence[Example], *, steps: int, rate: float = 3e-3, seed: int = 0
) -> list[float]:
    """Fits a head in place with AdamW, one example a step in an order drawn from `seed`; the loss of each step."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    head.train()
    for _ in range(steps):
        scene, target = examples[int(torch.randint(len(examples), (1,), generator=order))]
        loss = listwise(head(scene), target, scene.present)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    head.eval()
    return losses
