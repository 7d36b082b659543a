"""People's corrections of values: JSON lines beside the run, only ever appended to; the last one per value counts.

    {"image_id": "006.jpg", "field": "total", "text": "327.00", "read": "3271.00", "when": "2026-11-29T14:00:00+00:00"}

`read` is what the model had read; if both texts are equal but for spaces, the value was accepted. The run's answers do
not change.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.runs.files import append_lines, read_lines


@dataclass(frozen=True, slots=True)
class Correction:
    """A person's correction of one value."""

    image_id: str
    field: str
    text: str
    read: str
    when: str  # ISO 8601


def read_corrections(path: Path) -> dict[tuple[str, str], Correction]:
    """The last correction per (image id, field); a last line cut off by a crash is ignored."""
    corrections: dict[tuple[str, str], Correction] = {}
    for correction in (Correction(**said) for said in read_lines(path)):
        corrections[correction.image_id, correction.field] = correction
    return corrections


def append_correction(path: Path, correction: Correction) -> None:
    """Appends one line, and waits until it is on the disk."""
    append_lines(path, [json.dumps(asdict(correction), ensure_ascii=False)])
