"""Tiny scenes of several levels."""

from dataclasses import replace

from saccade.geometry.levels import level_tok, stack
from saccade.types import Encoding
from tests.helpers import Item, item


def pyramid_item(rows: int, cols: int, levels: int = 3, seed: int = 0) -> Item:
    """A random image as `look.see` encodes it at several sizes: rows x cols tokens, then a quarter of them, ..."""
    picture, first, query = item(rows, cols, seed)
    return picture, stack([first, *(_smaller(first, level, seed) for level in range(1, levels))]), query


def _smaller(first: Encoding, level: int, seed: int) -> Encoding:
    rows, cols = max(1, round(first.grid.rows / 2**level)), max(1, round(first.grid.cols / 2**level))
    assert rows * cols == level_tok(first.grid, level)
    encoding = item(rows, cols, 100 * level + seed)[1]
    return replace(encoding, picture_hash=first.picture_hash, fingerprint=f"test-{rows}x{cols}")
