"""Converts grey levels of any number type to 8 bits, so that a page stays readable.

A file states how many bits a pixel takes, seldom how many of them it uses: scanners put 10 or 12 bits into 16, programs
write floats in 0..1, 0..255 or any other range. Keeping the upper 8 bits would make such pages black. So black and
white are derived from the values: see `black_and_white`.
"""

import numpy as np

STUCK = 10_000
"""One pixel in so many may be brighter (or darker) than all others without deciding what white (or black) is."""

SAMPLE_PX = 4_000_000
"""Of larger images a regular sample of this many pixels is used."""

SCALES = (1, 255, 65_535)
"""Conventional values of white. A page whose brightest values reach half of one is not rescaled."""


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """Numbers of any kind and shape to uint8; not-a-number and minus infinity are black, infinity is white."""
    if values.dtype == np.uint8:
        return values
    black, white = black_and_white(values)
    if white <= black:
        return np.zeros(values.shape, np.uint8)
    if values.dtype.kind in "iu" and black == 0 and white in SCALES[1:]:
        shifted = values >> (8 if white == SCALES[-1] else 0)  # 16 bits keep their upper 8
        return shifted.clip(0, 255).astype(np.uint8)
    spread: np.ndarray = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
    with np.errstate(all="ignore"):  # what overflows is clipped
        np.subtract(spread, black, out=spread)
        np.multiply(spread, 255.0 / (white - black), out=spread)
        np.nan_to_num(spread, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
        np.rint(spread, out=spread)
    return np.clip(spread, 0, 255).astype(np.uint8)


def black_and_white(values: np.ndarray) -> tuple[float, float]:
    """The values that are black and white. Black is 0, or the darkest value where some are well below 0; white is
    the conventional one (1 of floats, 255, 65,535) where the brightest reaches half of it, else the brightest."""
    darkest, brightest = _extremes(values)
    black = darkest if darkest < -abs(brightest) / 50 else 0.0
    if black == 0:
        for scale in SCALES[values.dtype.kind in "iu" :]:
            if scale / 2 <= brightest <= scale:
                return 0.0, float(scale)
    return black, brightest


def _extremes(values: np.ndarray) -> tuple[float, float]:
    """The darkest and brightest finite values, ignoring a few stuck pixels."""
    sample = values.ravel()
    sample = sample[:: max(1, sample.size // SAMPLE_PX)]
    if values.dtype.kind == "f":
        sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    left_out = sample.size // STUCK
    ranked = np.partition(sample, (left_out, sample.size - 1 - left_out))
    return float(ranked[left_out]), float(ranked[sample.size - 1 - left_out])
