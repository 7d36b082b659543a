"""Random numbers that depend on a key and a position only: not on the batch, its padding, the device or a state.

SplitMix64 (Steele, Lea & Flood 2014) as a hash, in wrapping int64 arithmetic.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from saccade.picture import Picture


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


GAMMA = _signed(0x9E3779B97F4A7C15)
MIX_A = _signed(0xBF58476D1CE4E5B9)
MIX_B = _signed(0x94D049BB133111EB)


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Logical shift of int64, which torch shifts arithmetically."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def mix(bits: Tensor) -> Tensor:
    """One SplitMix64 step: int64 of any shape to well-mixed int64."""
    bits = bits + GAMMA
    bits = (bits ^ _shift_right(bits, 30)) * MIX_A
    bits = (bits ^ _shift_right(bits, 27)) * MIX_B
    return bits ^ _shift_right(bits, 31)


def picture_keys(pictures: Sequence[Picture], seed: int, device: torch.device) -> Tensor:
    """(B,) int64 keys from each picture's content and a seed."""
    content = [_signed(int(picture.sha256[:16], 16)) for picture in pictures]
    return mix(torch.tensor(content, dtype=torch.int64, device=device) ^ mix(torch.tensor(seed, device=device)))


def gaze_keys(keys: Tensor, gaze_uv: Tensor) -> Tensor:
    """(B,) int64 keys that also depend on the gaze (B, 2), to a millionth of the image."""
    x, y = (gaze_uv.double() * 1e6).round().long().unbind(-1)
    return mix(mix(keys ^ x) ^ y)


def uniform(keys: Tensor, num: int) -> Tensor:
    """(B, num) float64 in the open interval (0, 1), one stream per key (B,); a longer one starts with a shorter one."""
    position = torch.arange(num, device=keys.device)
    bits = mix(mix(keys)[:, None] + position * GAMMA)
    return (_shift_right(bits, 12).double() + 0.5) * 2.0**-52


def gumbel(keys: Tensor, num: int) -> Tensor:
    """(B, num) float64 standard Gumbel noise: the top k of log p + noise are k draws by p without replacement."""
    return -torch.log(-torch.log(uniform(keys, num)))
