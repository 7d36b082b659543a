"""What people said about values: JSON lines beside the run, only ever appended to; the last one about a value counts.

    {"image_id": "006.jpg", "field": "total", "text": "327.00", "read": "3271.00", "when": "2026-11-29T14:00:00+00:00"}

`read` is what the model had read; equal texts are a value that was accepted. The run's own answers stay as they are.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person said one value is."""

    image_id: str
    field: str
    text: str
    read: str
    when: str  # ISO 8601


def read_corrections(path: Path) -> dict[tuple[str, str], Correction]:
    """The last correction of each (image id, field); a line that a crash cut off is none."""
    corrections: dict[tuple[str, str], Correction] = {}
    if path.exists():
        for line in path.read_text().split("\n"):
            try:
                correction = Correction(**json.loads(line))
            except json.JSONDecodeError:  # cut off by a crash: it was never said to be kept
                continue
            corrections[correction.image_id, correction.field] = correction
    return corrections


def append_correction(path: Path, correction: Correction) -> None:
    """Adds one line, and waits until it is on the disk."""
    line = json.dumps(asdict(correction), ensure_ascii=False) + "\n"
    with path.open("a+b") as file:
        if file.tell() and (file.seek(-1, 2), file.read(1))[1] != b"\n":  # a crash cut the last one off
            line = "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
