"""Derive the tables of `saccade.budgets.adaptive` from pictures that this repository generates.

    python -m saccade.training.quantiles

Half are synthdoc pages (training seeds) of 512 and 1024 px, half natural-like scenes by the dead-leaves model: opaque
discs of all sizes in front of each other (Lee, Mumford & Huang 2001), each with a shade and a texture of its own, from
a few large ones to thousands of small ones. Writes saccade/budgets/_quantiles.py.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from saccade.datasets.synthdoc import render
from saccade.geometry.complexity import TERMS, terms
from saccade.training.parser import parser_of

STEPS = 20  # of a table
TARGET = Path(__file__).parents[1] / "budgets" / "_quantiles.py"


def leaves(seed: int, side_px: int = 512) -> NDArray[np.uint8]:
    """(side_px, side_px, 3) uint8: a dead-leaves scene; how many leaves, how textured, how bright differ by seed."""
    draw = np.random.default_rng([7, seed])
    count = round(10 ** draw.uniform(0.5, 3.2))
    rough, contrast = draw.uniform(0, 0.15), draw.uniform(0.2, 1.0)
    image = np.full((side_px, side_px, 3), draw.uniform(0, 1, 3), np.float32)
    radii = np.sort(side_px * np.clip(0.02 * (1 - draw.random(count)) ** -0.5, 0.02, 0.35))[::-1]  # p(r) ~ r^-3
    for radius in radii:  # the largest lie at the back
        centre = draw.integers(0, side_px, 2).tolist()
        shade = np.clip(0.5 + contrast * (draw.uniform(0, 1, 3) - 0.5), 0, 1).tolist()
        cv2.circle(image, centre, int(radius), shade, -1, cv2.LINE_AA)
    noise = cv2.GaussianBlur(draw.standard_normal((side_px, side_px, 1)).astype(np.float32), (0, 0), 1.5)
    textured = image + 3 * rough * noise[..., None]
    return np.asarray((np.clip(textured, 0, 1) * 255).round(), dtype=np.uint8)


def page(seed: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a generated page of 512 or 1024 px."""
    grey = render(seed=0, index=seed, page_px=(512, 1024)[seed % 2]).image
    return np.repeat(grey[..., None], 3, axis=2)


def tables(num: int, first: int = 0) -> dict[str, list[float]]:
    """The quantiles of each term over `num` pages and `num` scenes."""
    raw = np.array([terms(make(seed)) for seed in range(first, first + num) for make in (page, leaves)])  # (2 num, 3)
    quantiles = np.quantile(raw, np.linspace(0, 1, STEPS + 1), axis=0)  # (steps + 1, 3)
    return dict(zip(TERMS, quantiles.T.tolist(), strict=True))


def written(quantiles: dict[str, list[float]], num: int) -> str:
    """The tables as the source of a Python module, so that they are packaged as code."""
    lines = [f'"""Quantiles of {num} pages and {num} scenes, at equal steps. Written by saccade.training.quantiles."""']
    lines += ["", "QUANTILES = {"]
    for name, values in quantiles.items():
        lines += [f'    "{name}": [', *(f"        {value:.6g}," for value in values), "    ],"]
    return "\n".join([*lines, "}"]) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Derives the tables and writes the module."""
    parser = parser_of(__doc__)
    parser.add_argument("--num", type=int, default=400, help="number of pages, and of scenes")
    num = parser.parse_args(argv).num
    TARGET.write_text(written(tables(num), num))
    print(f"{TARGET}: {num} pages and {num} scenes")


if __name__ == "__main__":
    main()
