"""Runs as `saccade batch` leaves them, written by hand: no model answers anything."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from pipelines.runs import manifest, rows
from saccade.datasets import Row
from saccade.datasets.jsonl import JsonLines

ROWS, COLS = 8, 6  # of the grid of every page
HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
    "\"'><svg onload=window.hacked=3>{{body}}"
)


def look(x: float, y: float, cells: range, answer: str, confidence: float, reason: str = "query 0.5") -> dict[str, Any]:
    """One stored fixation."""
    kept = {"tokens": len(cells), "kept": list(cells), "answer": answer, "confidence": confidence}
    return {"gaze_x": x, "gaze_y": y, "reason": reason, **kept}


def answer(
    number: int,
    text: str,
    score: float | None,
    confidence: float,
    *,
    page: str = "0.png",
    question: str = "Who?",
    looks: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """One stored row."""
    looks = looks or [look(0.3, 0.4, range(10), "", 0.1), look(0.7, 0.6, range(20, 26), text, confidence)]
    tokens = sum(item["tokens"] for item in looks)
    return {
        "id": f"q{number}",
        "image_id": page,
        "question": question,
        "answers": None if score is None else ["INV-7"],
        "answer": text,
        "score": score,
        "exact": None if score is None else float(score == 1),
        "coverage": 0.5,
        "confidence": confidence,
        "visual_tok": tokens,
        "cached_tok": 3,
        "prefill_tok": 9,
        "encoder_patches": 48,
        "encoder_passes": 1.0,
        "seconds": {"encode": 0.5, "plan": 0.25, "read": 0.25},
        "error": None,
        "grid": {"rows": ROWS, "cols": COLS, "width_px": 96, "height_px": 128},
        "fixations": looks,
        "metadata": None,
    }


def error_row(number: int, error: str, question: str = "Who?") -> dict[str, Any]:
    """One stored error row."""
    empty = dict.fromkeys(rows.SCHEMA.names)
    given = {"id": f"q{number}", "image_id": "0.png", "question": question, "answers": ["INV-7"]}
    return {**empty, **given, "score": 0.0, "exact": 0.0, "encoder_patches": 0, "error": error, "fixations": []}


def write_run(folder: Path, answers: list[dict[str, Any]], shape: tuple[int, int] = (128, 96), **settings: Any) -> Path:
    """The folder of a run with these rows, and the pages they are about."""
    folder.mkdir(parents=True)
    lines = []
    for row in answers:
        page = folder.parent / str(row["image_id"])
        if not page.exists():
            noise = np.random.default_rng(len(lines)).integers(0, 256, (*shape, 3), dtype=np.uint8)
            Image.fromarray(noise).save(page)
        boxes = [[10, 10, 60, 40]]
        lines.append({"id": row["id"], "image": page.name, "question": row["question"], "answer_boxes": boxes})
    (folder.parent / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dataset = JsonLines(data_path=str(folder.parent / "questions.jsonl"))
    hidden = folder / ".saccade"
    listed = [row for row in dataset.rows() if isinstance(row, Row)]
    by_image = {row.source: row.image_id for row in listed}
    for row in answers:
        row["image_id"] = next(name for source, name in by_image.items() if source.endswith(str(row["image_id"])))
    manifest.write(listed, hidden / "manifest.parquet", hidden / "skipped.jsonl")
    (folder / "answers").mkdir()
    pq.write_table(pa.Table.from_pylist(answers, rows.SCHEMA), folder / "answers" / "00000000.parquet")
    stored = {"dataset": dataset.spec(), "max_px": None, "engine": {"name": "hf", "model": "nano"}, "episode": {}}
    (folder / "run.yaml").write_text(yaml.safe_dump({**stored, "commit": "abc1234", **settings}))
    return folder
