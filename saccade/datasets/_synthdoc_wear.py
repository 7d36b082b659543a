"""Wear of printed pages: worn ribbons, faded thermal paper, stamps, folds, scanners.

Each function takes and returns ink, (H, W) float32 in [0, 1], 0 = paper, 1 = full ink, and leaves letters where they
are; only `worn` knows about paper, light and files. Strengths are drawn so that a person can still read the page.
"""

import io
import math
import random
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Ink = NDArray[np.float32]
Noise = np.random.Generator


def _field(size: tuple[int, int], cells: int, noise: Noise) -> Ink:
    """(H, W) float32 in [0, 1]: a smooth random field with about `cells` bumps per side."""
    small = noise.random((cells, cells), dtype=np.float32)
    return np.asarray(np.clip(cv2.resize(small, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), 0, 1), np.float32)


def stroke(ink: Ink, r: random.Random, _: Noise) -> Ink:
    """Thinner or fatter strokes: a blend with the lightest or darkest of 3 x 3 pixels."""
    fat = r.random() < 0.55
    other = (cv2.dilate if fat else cv2.erode)(ink, np.ones((3, 3), np.uint8))
    share = r.uniform(0.1, 0.5 if fat else 0.35)
    return np.asarray((1 - share) * ink + share * other, np.float32)


def fading(ink: Ink, r: random.Random, noise: Noise) -> Ink:
    """Thermal paper or an empty ribbon: ink that is weaker here than there."""
    rows, cols = ink.shape
    return ink * (1 - r.uniform(0.2, 0.7) * _field((rows, cols), r.randint(2, 5), noise))


def dropout(ink: Ink, r: random.Random, noise: Noise) -> Ink:
    """A dot-matrix printer's gaps: single dots, or whole rows of them, that print weakly."""
    dots = noise.random(ink.shape, dtype=np.float32) < r.uniform(0.05, 0.3)
    rows = noise.random((ink.shape[0], 1), dtype=np.float32) < r.uniform(0, 0.06)
    return np.asarray(ink * np.where(dots | rows, r.uniform(0.2, 0.7), 1.0), np.float32)


def folds(ink: Ink, r: random.Random, _: Noise) -> Ink:
    """One to three creases across the page, dark or rubbed off."""
    for _fold in range(r.randint(1, 3)):
        upright, width = r.random() < 0.5, r.randint(1, 3)
        at = r.randrange(max(1, ink.shape[1 if upright else 0] - width))
        part = (slice(None), slice(at, at + width)) if upright else (slice(at, at + width), slice(None))
        ink = ink.copy()
        ink[part] = ink[part] * r.uniform(0.3, 1) + r.uniform(0, 0.25)
    return ink


def speckles(ink: Ink, r: random.Random, noise: Noise) -> Ink:
    """Dust: dots of one or two pixels."""
    count = int(ink.size * r.uniform(0.0002, 0.002))
    rows, cols = noise.integers(0, ink.shape[0], count), noise.integers(0, ink.shape[1], count)
    dusty = ink.copy()
    dusty[rows, cols] = noise.random(count, dtype=np.float32)
    return cv2.dilate(dusty, np.ones((2, 2), np.uint8)) if r.random() < 0.2 else dusty


def stamp(ink: Ink, r: random.Random, _: Noise) -> Ink:
    """A stamp's rings or a pen's scribble over the print."""
    height, width = ink.shape
    layer = Image.new("L", (width, height))
    draw = ImageDraw.Draw(layer)
    line = max(1, round(min(width, height) / 300))
    if r.random() < 0.5:
        radius, x, y = r.uniform(0.05, 0.15) * min(width, height), r.uniform(0, width), r.uniform(0, height)
        for ring in (1.0, 0.7):
            reach = ring * radius
            draw.ellipse((x - reach, y - reach / 1.5, x + reach, y + reach / 1.5), outline=255, width=line)
    else:
        x, y, angle = r.uniform(0, width), r.uniform(0, height), r.uniform(-1, 1)
        points = [(x, y)]
        for _step in range(r.randint(8, 40)):
            angle += r.gauss(0, 0.9)
            reach = r.uniform(0.005, 0.03) * max(width, height)
            x, y = x + reach * (0.5 + math.cos(angle)), y + reach * math.sin(angle)
            points.append((x, y))
        draw.line(points, fill=255, width=line + r.randint(0, 1), joint="curve")
    drawn = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.5)), np.float32) / 255
    return np.maximum(ink, r.uniform(0.25, 0.7) * drawn)


WEAR: tuple[tuple[float, Callable[[Ink, random.Random, Noise], Ink]], ...] = (
    (0.4, stroke), (0.3, fading), (0.15, dropout), (0.15, folds), (0.2, speckles), (0.15, stamp),
)  # fmt: skip


def worn(image: Image.Image, paper: int, r: random.Random, noise: Noise, x_height_px: float) -> NDArray[np.uint8]:
    """(H, W) uint8: a clean page, dark on `paper`, as a scanner, a camera or a screen would give it."""
    ink: Ink = np.clip((paper - np.asarray(image, np.float32)) / np.float32(max(paper, 1)), -1, 1)
    for share, wear in WEAR:
        if r.random() < share:
            ink = wear(ink, r, noise)
    rows, cols = ink.shape
    level = np.full((rows, cols), paper, np.float32)
    if r.random() < 0.35:
        level = level * (1 - r.uniform(0.05, 0.3) * _field((rows, cols), r.randint(2, 6), noise))
    pixels: Ink = np.clip(level * (1 - ink), 0, 255)
    if r.random() < 0.06:
        pixels = 255 - pixels
    pixels = _resampled(pixels, r, x_height_px)
    if r.random() < 0.6:
        pixels = pixels + noise.standard_normal((rows, cols), dtype=np.float32) * np.float32(r.uniform(1, 14))
    grey = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    return _compressed(grey, r.randint(25, 90)) if r.random() < 0.35 else grey


def _resampled(pixels: Ink, r: random.Random, x_height_px: float) -> Ink:
    """Through another resolution and back: a large scan shrunk, or a small one enlarged; letters stay readable."""
    if r.random() < 0.5:
        return pixels
    scale = r.choice((r.uniform(max(0.55, min(0.9, 5 / x_height_px)), 1), r.uniform(1, 1.7)))
    height, width = pixels.shape
    other = (max(8, round(width * scale)), max(8, round(height * scale)))
    through = cv2.resize(pixels, other, interpolation=r.choice((cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)))
    back = cv2.resize(
        through, (width, height), interpolation=r.choice((cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC))
    )
    return np.asarray(back, np.float32)


def _compressed(grey: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Saved as JPEG and opened again."""
    with io.BytesIO() as file:
        Image.fromarray(grey).save(file, "JPEG", quality=quality)
        with Image.open(file) as saved:
            return np.asarray(saved)
