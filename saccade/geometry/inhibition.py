"""The next fixation: the best token that is new and not close to an earlier gaze (Itti, Koch & Niebur 1998)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from saccade.geometry.grid import aspects, distance_uv, inhibit
from saccade.types import Grid, Step


def next_fixation(
    importance: Tensor, fresh: Tensor, grid: Grid, steps: Sequence[Step], radius: float
) -> tuple[int, str]:
    """The most important token (N,) among `fresh` (N,) bool ones not yet shown, outside discs around earlier gazes.

    When the discs cover all of them the oldest gaze is released, then the next; when nothing is fresh every token
    counts. Both are said in the note returned beside the index ("" otherwise). Equal tokens: the one nearest the
    picture's middle.
    """
    unseen, note = fresh.clone(), ""
    for step in steps:
        unseen[step.selection.index] = False
    if not unseen.any():
        unseen, note = torch.ones_like(fresh), ", all tokens seen"
    distance = distances(grid, [step.gaze.uv for step in steps])
    for released in range(len(steps) + 1):
        free = inhibit(importance.masked_fill(~unseen, float("-inf")), distance[released:], radius)
        if free.max() > float("-inf"):
            break
    if released:
        note += ", oldest inhibition released" if released == 1 else f", {released} oldest inhibitions released"
    middle = distances(grid, [(0.5, 0.5)])[0]
    return int(middle.masked_fill(free < free.max(), float("inf")).argmin()), note


def distances(grid: Grid, gazes_uv: Sequence[tuple[float, float]]) -> Tensor:
    """(G, N) distance of every token from each of G points, in units of the image's longer side."""
    gaze = torch.tensor(gazes_uv, dtype=torch.float32, device=grid.centre_uv.device).view(-1, 2)
    aspect = aspects([grid], grid.centre_uv.device)
    return distance_uv(grid.centre_uv.unsqueeze(0), gaze, aspect)
