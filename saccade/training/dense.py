"""Phase 1: the vision tower learns to read. Each token says which (up to three) characters have their centre in it,
and which two come before them: a reader that follows a text finds the next token by what precedes it.

A dense loss on text-rich crops: blank paper teaches nothing and costs the same.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from saccade.datasets.synthdoc import PLAIN, Chars, Page, Real, render
from saccade.training.loop import (
    Interrupt,
    Progress,
    State,
    autocast,
    build_optimizers,
    rank_and_size,
    stream,
    update,
)
from saccade.training.model import PATCH_PX, encode, patchify

OWN, BEFORE = 3, 2  # characters a token may hold, and those printed just before them
SLOTS = OWN + BEFORE
CLASSES = 96  # 0 = none, 1..95 = ASCII 32..126
CROP_PX = 256
CROPS = 4  # from one rendered sheet
X_HEIGHT_PX = (5.0, 24.0)  # log-uniform: large letters are as many sheets as small ones, though fewer characters
REAL_SHARE = 0.75  # of sheets and pages, printed and worn as in the world; the rest are clean


def char_labels(chars: Chars, token: NDArray[np.int64], num_tok: int) -> NDArray[np.uint8]:
    """(num_tok, 5) classes: the characters whose `token` it is, left to right, then the two before them, last first.

    token: (n,) of each character, -1: none.
    """
    labels = np.zeros((num_tok, SLOTS), np.uint8)
    inside = np.flatnonzero(token >= 0)
    order = np.lexsort((chars.centre_px[inside, 0], token[inside]))
    char = inside[order]
    at = token[char]
    rank = np.arange(len(at)) - np.searchsorted(at, at)  # within its token
    fits = rank < OWN
    labels[at[fits], rank[fits]] = chars.code[char[fits]] - 31
    first = rank == 0
    for back in range(1, BEFORE + 1):
        present = first & (char - back >= chars.begin[char])
        labels[at[present], OWN + back - 1] = chars.code[char[present] - back] - 31
    return labels


def token_of(
    chars: Chars, rows: int, cols: int, scale: tuple[float, float] = (1.0, 1.0), corner: tuple[int, int] = (0, 0)
) -> NDArray[np.int64]:
    """(n,) the cell that holds the centre of each character, -1 outside.

    The cells are rows x cols at `corner` (row, column) of the page, after its rows and columns were scaled by `scale`.
    """
    centre = chars.centre_px[:, ::-1] / PATCH_PX * np.array(scale) - np.array(corner)  # (n, 2) row, column
    cell = np.floor(centre).astype(np.int64)
    inside = (cell >= 0).all(1) & (cell < np.array([rows, cols])).all(1)
    return np.where(inside, cell[:, 0] * cols + cell[:, 1], -1)


def page_labels(page: Page) -> NDArray[np.uint8]:
    """(H, W, 5) of a whole page."""
    rows, cols = (s // PATCH_PX for s in page.image.shape)
    return char_labels(page.chars, token_of(page.chars, rows, cols), rows * cols).reshape(rows, cols, SLOTS)


class Crops(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Item i: four 256-px crops of one sheet of text (nine in ten) or document, and their labels."""

    def __init__(self, seed: int, length: int, real: Real) -> None:
        self.seed, self.length, self.real = seed, length, real

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        draw = np.random.default_rng([self.seed, index, 1])
        x_height_px = float(np.exp(draw.uniform(*np.log(X_HEIGHT_PX))))
        kind = "sheet" if draw.random() < 0.9 else None
        page = render(self.seed, index, 512, kind, x_height_px, self.real if draw.random() < REAL_SHARE else None)
        labels, image = page_labels(page), page.image
        short = max(0, CROP_PX - image.shape[1])  # a receipt may be narrower than a crop
        image = np.pad(image, ((0, 0), (0, short)), mode="edge")
        labels = np.pad(labels, ((0, 0), (0, short // PATCH_PX), (0, 0)))
        crops, marks = [], []
        rows, cols = (max(1, s // CROP_PX) for s in image.shape)
        corners = [(r * CROP_PX, c * CROP_PX) for r in range(rows) for c in range(cols)]
        for k in range(CROPS):
            top, left = corners[k % len(corners)]
            if k >= len(corners):  # a narrow page: crops from anywhere
                top, left = (int(draw.integers(0, (s - CROP_PX) // PATCH_PX + 1)) * PATCH_PX for s in image.shape)
            crops.append(image[top : top + CROP_PX, left : left + CROP_PX])
            t, s = top // PATCH_PX, left // PATCH_PX
            marks.append(labels[t : t + CROP_PX // PATCH_PX, s : s + CROP_PX // PATCH_PX])
        return {"image": torch.from_numpy(np.stack(crops)), "label": torch.from_numpy(np.stack(marks))}


def dense_head(width: int) -> nn.Linear:
    """Reads the characters off what the language model is given; used in training only."""
    return nn.Linear(width, SLOTS * CLASSES)


def dense_loss(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of (..., 480) against (..., 5) labels; accuracy on own characters and on those before them."""
    logits, target = logits.float().view(-1, SLOTS, CLASSES), label.reshape(-1, SLOTS).long()
    hit = (logits.argmax(-1) == target).float()
    own, before = (hit[:, part][target[:, part] > 0].mean() for part in (slice(OWN), slice(OWN, SLOTS)))
    return F.cross_entropy(logits.flatten(0, 1), target.flatten()), torch.stack([own, before])


def train_dense(
    visual: nn.Module, head: nn.Module, out: Path, *, steps: int, seed: int, device: torch.device,
    batch_crops: int = 32, rate: float = 2e-3, workers: int = 0, compiled: bool = False, save_every: int = 250,
    real: Real = PLAIN,
) -> None:  # fmt: skip
    """Trains the tower and the head for `steps`, resuming from out/dense.pt."""
    optimizers = build_optimizers([(visual, 1.0), (head, 1.0)], rate)
    state = State(out / "dense.pt", {"visual": visual, "head": head}, optimizers)
    state.restore()
    size = rank_and_size()[1]
    batch = max(1, batch_crops // CROPS // size)
    batches = stream(Crops(seed, steps * batch * size, real), state.step * batch * size, batch, workers)
    run: Any = torch.compile(encode) if compiled else encode
    progress = Progress("dense", steps)
    with Interrupt() as interrupt:
        while state.step < steps:
            item = next(batches)
            image = item["image"].flatten(0, 1).to(device)
            label = item["label"].flatten(0, 1).to(device)
            with autocast(device):
                logits = head(run(visual, patchify(image)))
            loss, hit = dense_loss(logits, label)
            torch.autograd.backward(loss)
            own, before = hit.tolist()
            progress.add(state.step, label.numel() // SLOTS, loss=loss.item(), char_acc=own, before_acc=before)
            stop = update(state, rate, steps, interrupt.asked)
            if stop or state.step % save_every == 0:
                state.save()
            if stop:
                raise KeyboardInterrupt
    state.save()
