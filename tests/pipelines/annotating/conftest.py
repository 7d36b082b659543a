"""An annotation as its run leaves it, written by hand: no model answers anything."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipelines.annotating.places import Places
from pipelines.annotating.settings import Annotating, write_settings
from pipelines.runs import manifest, rows
from saccade.annotation.fields import FieldSpec
from saccade.datasets import Row, open_images
from saccade.datasets.fields import Fields
from tests import tiny

FIELDS = (
    FieldSpec(name="company", question="Who?"),
    FieldSpec(name="total", question="How much?", type="money"),
    FieldSpec(name="paid", question="Is it paid?", type="yes/no", required=False),
)
SIZE_PX = (120, 160)
COLS, ROWS = 6, 8  # of the grid of every page: a cell is 20 px
SAID: dict[str, dict[str, tuple[str, float] | str]] = {
    "a.png": {"company": ("ACME Ltd", 0.95), "total": ("RM 12.50", 0.9), "paid": ("yes", 0.85)},
    "b.png": {"company": ("Blue", 0.5), "total": ("twelve", 0.99), "paid": ("", 0.0)},
    "bad.png": dict.fromkeys(("company", "total", "paid"), "PictureError: it is no image"),
}
"""(answer, confidence) or the error, of each field of each page."""


def stored_row(image_id: str, number: int, field: str, said: tuple[str, float] | str) -> dict[str, Any]:
    """One stored row; the answer is read from cell (row 1 + number, column 2)."""
    given = {"id": f"{image_id}:{field}", "image_id": image_id, "question": "?", "variant": "default"}
    if isinstance(said, str):
        return {**given, "error": said, "fixations": [], "encoder_patches": 0}
    text, confidence = said
    top, left = (1 + number) * 20, 2 * 20
    look = {"gaze_x": 0.5, "gaze_y": 0.5, "reason": "view: full", "tokens": 48, "kept": list(range(48))}
    return {
        **given,
        "answer": text,
        "confidence": confidence,
        "visual_tok": 48,
        "grid": {"rows": ROWS, "cols": COLS, "width_px": SIZE_PX[0], "height_px": SIZE_PX[1]},
        "fixations": [{**look, "answer": text, "confidence": confidence}],
        "attended": [{"cell": (1 + number) * COLS + 2, "share": 0.9}],
        "width_px": SIZE_PX[0],
        "height_px": SIZE_PX[1],
        "evidence_px": [left, top, left + 20, top + 20] if text else None,
    }


def annotated(folder: Path, said: dict[str, Any], **settings: Any) -> Path:
    """The folder of an annotation of the pages beside it that gave these answers; nothing is exported yet."""
    scans = folder.parent / "scans"
    scans.mkdir(exist_ok=True)
    for seed, name in enumerate(SAID):
        if name == "bad.png":
            (scans / name).write_text("no image")
        else:
            Image.fromarray(tiny.page(*SIZE_PX, seed=seed)).save(scans / name)
    only = settings.pop("only", None)
    dataset = Fields(images=open_images(str(scans)).spec(), fields=FIELDS, only=only and str(only))
    places = Places(folder)
    listed = [row for row in dataset.rows() if isinstance(row, Row)]
    manifest.write(listed, places.manifest, places.skipped)
    places.answers.mkdir(parents=True)
    for number, row in enumerate(listed):
        made = [
            stored_row(row.image_id, at, name, said[row.image_id][name])
            for at, name in enumerate(str(question.metadata["field"]) for question in row.questions)
        ]
        pq.write_table(pa.Table.from_pylist(made, rows.SCHEMA), places.file_of(number))
    stored = {"dataset": dataset.spec(), "versions": {"saccade": "0.1"}, "max_px": None, "episode": {}}
    places.run_yaml.write_text(yaml.safe_dump({**stored, "engine": {"name": "hf", "model": "nano"}}))
    write_settings(folder, Annotating(**settings))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An annotation of three pages, one of which cannot be opened."""
    return annotated(tmp_path / "run", SAID)
