"""Rotary positions in one, two or three axes, for tokens that may stand anywhere.

A head of width 2P is P planes; plane p turns by `frequency[p]` times the token's coordinate on axis `axis[p]`, and its
two numbers are the p-th of the head's first and of its second half. That one table says all that differs between a
text's 1-D rotary embedding (Su et al. 2021, arXiv:2104.09864), the axial one of vision towers, and M-RoPE with its
planes in sections (Qwen2-VL, arXiv:2409.12191) or interleaved (Qwen3-VL, arXiv:2511.21631). Nothing depends on a
token's place in the sequence: tokens may be dropped, out of order, share a place or stand between cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rotary:
    """What each of P planes turns with: P is half the width of an attention head."""

    frequency: Tensor  # (P,) float32, radians per unit of the coordinate
    axis: Tensor  # (P,) int64, the coordinate it reads


def frequencies(num_planes: int, theta: float) -> Tensor:
    """(P,) float32: theta^(-p/P), from one radian per position down to about 1/theta.

    Written as a quotient, as transformers does: at position 300 the last bit of a frequency is 1e-5 in the angle.
    """
    return 1.0 / theta ** (torch.arange(num_planes, dtype=torch.float32) / num_planes)


def axial(width: int, num_axes: int = 2, theta: float = 1e4) -> Rotary:
    """Each axis has an equal run of the planes, and the same frequencies: vision towers (axes row, column); 1-D.

    Raises:
        ValueError: a head of `width` has no equal number of planes for each axis.
    """
    if width % (2 * num_axes):
        raise ValueError(
            f"a head of width {width} has no equal planes for {num_axes} axes: use a multiple of {2 * num_axes}"
        )
    planes = width // 2 // num_axes
    return Rotary(frequencies(planes, theta).repeat(num_axes), torch.arange(num_axes).repeat_interleave(planes))


def sectioned(sections: Sequence[int], theta: float) -> Rotary:
    """M-RoPE of Qwen2-VL and Qwen2.5-VL: `sections` planes for time, row and column, one after the other.

    The frequencies run on through the sections: time turns fastest, columns slowest. Checkpoints bring modules of their
    own; this one and `interleaved` show, in tests, that one table covers all families.
    """
    return Rotary(
        frequencies(sum(sections), theta), torch.arange(len(sections)).repeat_interleave(torch.tensor(sections))
    )


def interleaved(sections: Sequence[int], theta: float) -> Rotary:
    """M-RoPE of Qwen3-VL: planes take turns (time, row, column, time, ...), so that each axis has high and low
    frequencies; axis a > 0 until its `sections[a]` planes are used up, time has all the others.
    """
    num_axes, plane = len(sections), torch.arange(sum(sections))
    turn = plane % num_axes
    within = plane < torch.tensor(sections)[turn] * num_axes
    return Rotary(frequencies(len(plane), theta), torch.where(within, turn, 0))


def angles(rotary: Rotary, positions: Tensor) -> Tensor:
    """(A, ..., T) coordinates of T tokens on A axes, whole or fractional -> (..., T, P) float32 radians."""
    coordinate = positions[rotary.axis.to(positions.device)].movedim(0, -1)
    return coordinate.to(torch.float32) * rotary.frequency.to(positions.device)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns queries or keys (..., T, 2P) by angles whose cosines and sines (..., T, P) are given; computed in float32.

    Position 0 on all axes turns nothing; `rotate(..., cos, -sin)` turns back.
    """
    first, second = heads.to(torch.float32).chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(heads.dtype)


def embed(rotary: Rotary, heads: Tensor, positions: Tensor) -> Tensor:
    """Queries or keys (..., T, 2P) turned by the positions (A, T) of their tokens: `angles`, then `rotate`."""
    angle = angles(rotary, positions)
    return rotate(heads, angle.cos(), angle.sin())
