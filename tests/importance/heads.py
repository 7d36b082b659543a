"""Tiny trained heads in a folder, with random weights, for scenes of `tests.helpers`."""

from pathlib import Path

import torch

from saccade.heads.files import save
from saccade.heads.scoring import KINDS

TRAINED = {"learned": "mlp", "cross": "cross"}  # scorers without a meaning before they are trained, and their heads
WIDTHS = {"before": 5, "after": 6}  # F and D of `tests.helpers.item`


def tiny_head(folder: Path, kind: str, at: str = "before", seed: int = 0, **sizes: int) -> str:
    """A head of random weights, written into a folder; returns the folder's name."""
    torch.manual_seed(seed)
    save(KINDS[kind](at, WIDTHS[at], 6, inner=8, **sizes), folder, weights="random")
    return str(folder)
