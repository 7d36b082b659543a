"""Tiny scenes and steps, made by hand or from a seed."""

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from saccade.geometry.grid import plain_grid
from saccade.picture import Picture
from saccade.planners import Planner, Score
from saccade.types import Answer, Encoding, Gaze, Query, Scene, Selection, Step

T = TypeVar("T")
Item = tuple[Picture, Encoding, Query]
TOKEN_PX = 16


def item(rows: int, cols: int, seed: int = 0, tokens: Tensor | None = None, words: Tensor | None = None) -> Item:
    """One random image of rows x cols tokens of 16 px (D = 6, M = 2, F = 5) and a question of 3 words."""
    make, num_tok = torch.Generator().manual_seed(seed), rows * cols
    width_px, height_px = cols * TOKEN_PX, rows * TOKEN_PX
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    tokens = torch.randn(num_tok, 6, generator=make) if tokens is None else tokens
    words = torch.randn(3, 6, generator=make) if words is None else words
    encoding = Encoding(
        tokens=tokens,
        features=torch.randn(num_tok, 2, 5, generator=make),
        received=torch.rand(num_tok, generator=make),
        grid=plain_grid(rows, cols, width_px, height_px),
        picture_hash=str(seed),
        fingerprint="test",
        num_patches=2 * num_tok,
    )
    boxes = (0.2, 0.3, 0.4, 0.5), (0.7, 0.1, 0.8, 0.2)
    return Picture.open(pixels), encoding, Query("?", words, torch.ones(len(words)), None, boxes[:1], boxes[1:])


def shuffled(examples: Sequence[T], seed: int = 0) -> Iterator[T]:
    """Examples in random order, each as likely at every place, without end."""
    order = torch.Generator().manual_seed(seed)
    while True:
        yield examples[int(torch.randint(len(examples), (1,), generator=order))]


def importance_of(*sizes: int, seed: int = 0) -> Tensor:
    """(B, N) distinct values in (0, 1), zero at padding, for images of these many tokens."""
    rows = [torch.randperm(n, generator=torch.Generator().manual_seed(seed + i)) for i, n in enumerate(sizes)]
    return torch.nn.utils.rnn.pad_sequence([(row + 1) / (len(row) + 1) for row in rows], batch_first=True)


def bare(rows: int, cols: int) -> Scene:
    """A scene of one image, for strategies that look at positions only."""
    return Scene.of([item(rows, cols)])


def answer(text: str = "7", confidence: float = 0.5, readable: bool = True, **more: object) -> Answer:
    """An answer; anything not given is zero."""
    return Answer(text, (), confidence, 0, 0, 0, 0.0, readable, **more)  # type: ignore[arg-type]


def step(index: Sequence[int], num_tok: int, given: Answer | None = None, gaze: Gaze | None = None) -> Step:
    """A fixation that showed these tokens."""
    selection = Selection.keep(torch.tensor(list(index), dtype=torch.int64), num_tok)
    return Step(gaze or Gaze((0.5, 0.5), "test", 1.0), selection, given or answer())


def bin_of(dx: float, dy: float, farthest: float, num_rho: int, num_theta: int, alpha: float) -> int:
    """A token's log-polar bin by its definition, for one token at (dx, dy) from the gaze."""
    r = math.hypot(dx, dy)
    rho = math.log(r + alpha) - math.log(alpha)
    whole = math.log(farthest + alpha) - math.log(alpha)
    ring = min(int(num_rho * rho / whole), num_rho - 1) if whole else 0
    sector = math.floor(math.atan2(abs(dx), dy) / (2 * math.pi) * num_theta + 0.5)
    return ring * num_theta + (sector if dx >= 0 else -sector) % num_theta


def replay(planner: Planner, scene: Scene, score: Score, steps: Sequence[Step]) -> list[Gaze]:
    """The gazes a planner would take if its looks had caused these steps: those of the steps, if nothing changed."""
    flow = planner.flow(scene, score)
    return [next(flow), *(flow.send(step) for step in steps[:-1])] if steps else []
