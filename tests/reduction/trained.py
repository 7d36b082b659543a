"""Tiny trained reductions in a folder, with random weights: two stages, tokens of `tests.helpers`' widths."""

from collections.abc import Callable
from pathlib import Path

import torch

from saccade.heads.codec import Codec
from saccade.heads.files import save
from saccade.heads.keep import KeepScores
from saccade.heads.queries import Queries

MAKERS: dict[str, Callable[[], torch.nn.Module]] = {
    "dynamicvit": lambda: KeepScores(width=8, inner=8, stages=3),
    "resampler": lambda: Queries(width=6, queries=4, inner=8, heads=2),
    "autoencoder": lambda: Codec(width=6, code=2, inner=8),
}
"""Reductions without a meaning before they are trained, and what they learn."""


def tiny_trained(folder: Path, name: str) -> str:
    """Random weights of one of them, written into a folder; returns the folder's name."""
    torch.manual_seed(0)
    save(MAKERS[name](), folder, weights="random")
    return str(folder)
