"""Every scorer in every way it works, for measurements: name -> the scorer. Trained heads are made, untrained."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch

from saccade.geometry.grid import plain_grid
from saccade.heads.files import save
from saccade.heads.scoring import KINDS
from saccade.importance import Scorer
from saccade.picture import Picture
from saccade.registry import load, names
from saccade.types import Encoding, Query, Scene

WORDS, WIDTH, FEATURES, MERGED = 24, 512, 256, 4  # T, D, F, M
TOKEN_PX = 28
HEADS = {"late": "late", "learned": "mlp", "cross": "cross"}
MORE = {
    "edges canny": {"name": "edges", "method": "canny"},
    "edges fft": {"name": "edges", "method": "fft"},
    "entropy spatial": {"name": "entropy", "of": "spatial"},
    "preset ptp": {"name": "preset", "preset": "ptp"},
    "rarity all": {"name": "rarity", "to": "all"},
    "rarity nearest": {"name": "rarity", "to": "nearest"},
    "region tokens": {"name": "region", "over": "tokens"},
}


def variants(folder: Path) -> dict[str, Scorer]:
    """All scorers with their defaults, their other methods, and trained ones before and after the merger."""
    specs = {name: {"name": name} for name in names("importance") if name not in HEADS} | MORE
    for name, kind in HEADS.items():
        for at, width in (("before", FEATURES), ("after", WIDTH)):
            head = folder / f"{name}-{at}"
            save(KINDS[kind](at, width, WIDTH), head, weights="untrained")
            specs[f"{name} {at}"] = {"name": name, "head": str(head)}
    return {name: load("importance", spec, Scorer) for name, spec in sorted(specs.items())}


def scene(rows: int, cols: int, batch: int = 1, seed: int = 0) -> Scene:
    """Random images of rows x cols tokens at the widths of this file, with their pictures decoded."""
    make, num = torch.Generator().manual_seed(seed), rows * cols
    items = []
    for number in range(batch):
        pixels = np.random.default_rng(seed + number).integers(0, 256, (rows * 7, cols * 7, 3), dtype=np.uint8)
        picture = Picture.open(pixels.repeat(4, 0).repeat(4, 1))
        encoding = Encoding(
            tokens=torch.randn(num, WIDTH, generator=make),
            features=torch.randn(num, MERGED, FEATURES, generator=make),
            received=torch.rand(num, generator=make),
            grid=plain_grid(rows, cols, cols * TOKEN_PX, rows * TOKEN_PX),
            picture_hash=str(number),
            fingerprint="random",
            num_patches=MERGED * num,
        )
        words = torch.randn(WORDS, WIDTH, generator=make)
        items.append((picture, encoding, Query("?", words, torch.ones(WORDS))))
    batch_scene = Scene.of(items)
    return replace(batch_scene, attention=batch_scene.received.square())  # as if a language model had been listened to


def images_of(batch_scene: Scene) -> list[Scene]:
    """Each image of a batch as a scene of its own, on the same memory."""
    columns = {field.name: getattr(batch_scene, field.name) for field in fields(batch_scene)}
    return [
        replace(batch_scene, **{name: value[b : b + 1] for name, value in columns.items() if value is not None})
        for b in range(len(batch_scene.grids))
    ]
