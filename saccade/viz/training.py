"""The curve of a training as a picture: every number of `curve.jsonl` against steps, one panel each."""

import json
from pathlib import Path

import numpy as np

from saccade.viz.charts import chart, dress

FOLDER_CURVE, PICTURE = "curve.jsonl", "curve.png"
WINDOW = 25  # steps that are averaged: single ones are noise


def draw_curve(folder: Path) -> Path | None:
    """Writes `curve.png` into a training's folder; None where it has no curve of two steps."""
    file = folder / FOLDER_CURVE
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    if len(lines) < 2:
        return None
    names = [name for name in lines[-1] if name != "step"]
    figure = chart(3.2 * len(names), 2.6)
    for place, name in enumerate(names, start=1):
        points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
        steps, values = np.array(points, dtype=np.float64).T
        axes = dress(figure.add_subplot(1, len(names), place), name.replace("_", " "), "step", "")
        axes.plot(steps, values, color="#bbbbbb", linewidth=0.6)
        width = min(WINDOW, len(values))
        mean = np.convolve(values, np.ones(width) / width, mode="valid")
        axes.plot(steps[width - 1 :], mean, color="#0072b2", linewidth=1.4)
    figure.savefig(folder / PICTURE)
    return folder / PICTURE
