"""Halting against one image at a time, and blocks whose movement is known."""

import math

import pytest
import torch
from torch import Tensor

from saccade.tokens.halting import change, until_still


def turning(angle: float):
    """A block that turns every token by an angle in its first two values."""
    turn = torch.eye(4)
    turn[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return lambda states: states @ turn.T


def test_change_by_hand() -> None:
    before = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]])
    after = torch.tensor([[[5.0, 0.0], [2.0, 0.0], [-3.0, 0.0]]])  # 0, 1 and 2: as long as it likes, only turned
    assert change(before, after).tolist() == pytest.approx([1.0])
    present = torch.tensor([[True, True, False]])
    assert change(before, after, present).tolist() == pytest.approx([0.5])
    assert change(before, after, torch.zeros(1, 3, dtype=torch.bool)).tolist() == [0.0]


def test_stops_behind_the_first_block_that_hardly_moves_it() -> None:
    """Turns of 60, 30, 10, 5 and 60 degrees change by 1 - cos: 0.5, 0.134, 0.015, 0.0038, 0.5."""
    blocks = [turning(math.radians(degrees)) for degrees in (60, 30, 10, 5, 60)]
    states = torch.zeros(1, 3, 4)
    states[..., 0] = 1.0
    for tolerance, blocks_run in [(0.2, 2), (0.02, 3), (0.01, 4), (0.001, 5), (0.0, 5), (1.0, 1)]:
        left, depth = until_still(blocks, states, tolerance)
        assert depth.tolist() == [blocks_run]
        angle = math.radians(sum((60, 30, 10, 5, 60)[:blocks_run]))
        torch.testing.assert_close(left[0, 0, :2], torch.tensor([math.cos(angle), math.sin(angle)]))
    assert until_still(blocks, states, 1.0, least=3)[1].tolist() == [3]


def one_at_a_time(blocks: list, image: Tensor, tolerance: float) -> tuple[Tensor, int]:
    number = 0
    for block in blocks:
        number += 1
        after = block(image[None])[0]
        cosines = [float(a @ b / (a.norm() * b.norm())) for a, b in zip(image, after, strict=True)]
        image = after
        if 1 - sum(cosines) / len(cosines) < tolerance:
            break
    return image, number


def test_a_batch_leaves_as_each_image_alone() -> None:
    make = torch.Generator().manual_seed(1)
    weights = [torch.randn(8, 8, generator=make) * scale for scale in (0.5, 0.2, 0.1, 0.05, 0.3, 0.02)]
    blocks = [lambda states, w=w: states + torch.tanh(states @ w) for w in weights]
    images = torch.randn(16, 5, 8, generator=make)
    images[::3] *= 9  # where tanh saturates, features move less
    found, depth = until_still(blocks, images, 0.03)
    for image, left, blocks_run in zip(images, found, depth.tolist(), strict=True):
        expected, number = one_at_a_time(blocks, image, 0.03)
        assert number == blocks_run
        torch.testing.assert_close(left, expected, rtol=1e-5, atol=1e-5)
    assert len(set(depth.tolist())) > 1, "all left together"
    whole, depth = until_still(blocks, images, 0.0)
    assert (depth == 6).all()
