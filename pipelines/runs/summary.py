"""summary.json: a run's answers, summed up. Computed from the files of answers alone, so it can be made again."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.runs import manifest
from pipelines.runs.files import read_parquet
from pipelines.runs.folder import RunFolder
from saccade.files import write_text
from saccade.metrics.bootstrap import bootstrap_mean, dumped
from saccade.metrics.scoring import title

COLUMNS = [
    "image_id",
    "score",
    "exact",
    "coverage",
    "confidence",
    "visual_tok",
    "cached_tok",
    "prefill_tok",
    "encoder_patches",
    "encoder_passes",
    "error",
    "metric",
]
LOOK_TOK = "fixations.list.element.tokens"
SIDES = ("width_px", "height_px", "grid.width_px", "grid.height_px")  # of the image, and of what the model was shown
ROUNDED = 1.1  # up to so many times the pixels shown is rounding, not shrinking: sides are whole tokens
SURE = 0.8  # confidence from which an answer counts as sure, as `saccade annotate` has it
SHOWN_COUNTS = 20
SHOWN_ERRORS = 20  # reasons listed; the rest are counted together


def summarise(folder: RunFolder, attempt: dict[str, Any]) -> dict[str, Any]:
    """The summary of everything answered so far, written to summary.json. `attempt`: seconds, images_per_s, ..."""
    columns, looked, sides = _columns(folder)
    images = len(set(columns["image_id"]))
    errors = [error for error in columns["error"] if error is not None]
    visual = [count for count in columns["visual_tok"] if count is not None]
    cached, prefill = _total(columns["cached_tok"]), _total(columns["prefill_tok"])
    encoded = sum(1 for patches in columns["encoder_patches"] if patches)
    looks = [len(steps) for steps, error in zip(looked, columns["error"], strict=True) if error is None]
    skipped = Counter(skip.reason for skip in manifest.skips(folder.skipped))
    summary = {
        "questions": len(columns["image_id"]),
        "images": images,
        "answered": len(columns["image_id"]) - len(errors),
        "errors": len(errors),
        "errors_by_reason": dict(Counter(errors).most_common(SHOWN_ERRORS)),
        "errors_by_type": dict(Counter(error.partition(":")[0] for error in errors).most_common()),
        "skipped": dict(skipped),
        "metric": title(columns["metric"]),
        "score": _interval(columns["score"], columns["image_id"]),
        "exact": _interval(columns["exact"], columns["image_id"]),
        "coverage": _interval(columns["coverage"], columns["image_id"]),
        "sure": _sure(columns),
        "visual_tok": {"min": min(visual), "mean": float(np.mean(visual)), "max": max(visual)} if visual else None,
        "shrunk": _shrunk(sides),
        "first_look_tok": _distribution([steps[0] for steps in looked if steps]),  # how the budget fell out
        "fixations": {
            "mean": float(np.mean(looks)) if looks else None,
            "counts": {str(count): times for count, times in sorted(Counter(looks).items())},
        },
        "encoder_patches_per_image": _total(columns["encoder_patches"]) / encoded if encoded else None,
        "encoder_passes_per_image": _total(columns["encoder_passes"]) / encoded if encoded else None,
        "prefill_tok": prefill,
        "cached_tok": cached,
        "cached_share": cached / (cached + prefill) if cached + prefill else None,
        "encoded_images": folder.num_encoded(),  # by all attempts, killed ones included
        **attempt,
    }
    write_text(folder.summary_json, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


def _columns(folder: RunFolder) -> tuple[dict[str, list[Any]], list[list[int]], dict[str, float]]:
    """The columns of all rows, each row's tokens look by look, and by how much each image's sides were shrunk."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    looked: list[list[int]] = []
    sides: dict[str, float] = {}
    for file in sorted(folder.answers.glob("*.parquet")):
        table = read_parquet(file, [*COLUMNS, LOOK_TOK, *SIDES])
        for name in COLUMNS:
            columns[name] += table[name].to_pylist()
        looked += [[step["tokens"] for step in steps or ()] for steps in table["fixations"].to_pylist()]
        if {"width_px", "height_px"} <= set(table.column_names):  # in no row of before there were these
            image = zip(
                *(table[name].to_pylist() for name in ("image_id", "width_px", "height_px", "grid")), strict=True
            )
            sides |= {
                image_id: math.sqrt(grid["width_px"] * grid["height_px"] / (width * height))
                for image_id, width, height, grid in image
                if width and height and grid and grid["width_px"]
            }
    return columns, looked, sides


def _sure(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    """How many answers are at least `SURE`, and the score of those, where it is known."""
    answers = zip(columns["confidence"], columns["score"], columns["image_id"], strict=True)
    sure = [(score, image) for confidence, score, image in answers if confidence is not None and confidence >= SURE]
    score = _interval([score for score, _ in sure], [image for _, image in sure])
    return {"at": SURE, "answers": len(sure), "score": score}


def _shrunk(sides: Mapping[str, float]) -> dict[str, Any]:
    """How many images the model was shown smaller than they are, and their mean side beside the true one."""
    less = [side for side in sides.values() if ROUNDED * side**2 < 1]
    return {"images": len(less), "side": float(np.mean(less)) if less else None}


def _distribution(counts: Sequence[int]) -> dict[str, int]:
    """How many questions were given how many tokens, fewest tokens first; the rarest are left out of a long list."""
    return {str(count): times for count, times in sorted(Counter(counts).most_common(SHOWN_COUNTS))}


def _interval(scores: Sequence[float | None], pages: Sequence[str]) -> dict[str, Any] | None:
    """Mean, bootstrap interval by image, and how many questions it is over; None when none has a score."""
    return dumped(bootstrap_mean(scores, pages))


def _total(values: Sequence[int | float | None]) -> int | float:
    return sum(value for value in values if value is not None)
