"""Keyed noise: the published generator, and what makes it safe in batches."""

import math

import torch

from saccade.tokens.noise import gaze_keys, gumbel, mix, picture_keys, uniform
from tests.helpers import item

MASK = (1 << 64) - 1


def splitmix(state: int) -> int:
    """SplitMix64 with Python's whole numbers."""
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_mix_is_splitmix64():
    assert splitmix(0) == 0xE220A8397B1DCDAF  # the first output of the reference implementation for seed 0
    states = [0, 1, 12345678901234567, -5, -(2**63)]
    assert [value & MASK for value in mix(torch.tensor(states)).tolist()] == [splitmix(s & MASK) for s in states]


def test_noise_depends_on_key_and_position_only():
    keys = torch.tensor([5, 7, -9])
    assert torch.equal(uniform(keys, 10), uniform(keys, 30)[:, :10])
    assert torch.equal(uniform(keys, 10)[1:2], uniform(keys[1:2], 10))


def test_uniform_is_uniform_and_gumbel_is_gumbel():
    values = uniform(torch.arange(20), 2000).flatten()
    assert 0 < values.min() and values.max() < 1
    assert (torch.histc(values.float(), 10, 0, 1) / 4000 - 1).abs().max() < 0.06  # 4 standard errors
    noise = gumbel(torch.arange(20), 2000).flatten()
    assert abs(float(noise.mean()) - 0.5772) < 0.03
    assert abs(float(noise.std()) - math.pi / 6**0.5) < 0.03


def test_keys_tell_pictures_seeds_and_gazes_apart():
    pictures = [item(2, 2, seed)[0] for seed in (0, 1, 0)]
    a, b, again = picture_keys(pictures, 3, torch.device("cpu")).tolist()
    assert a == again != b
    assert picture_keys(pictures[:1], 4, torch.device("cpu")).item() != a
    gazes = torch.tensor([[0.1, 0.2], [0.2, 0.1], [0.1, 0.2]])
    x, y, z = gaze_keys(torch.tensor([a, a, a]), gazes).tolist()
    assert x == z != y
