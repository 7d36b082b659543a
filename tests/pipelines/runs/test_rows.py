"""Rows of answers as a run of the tiny model stores them: their size, and where each answer was read."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipelines.execute.run import batch
from pipelines.reporting.page import report
from pipelines.runs import stored
from pipelines.runs.export import export
from saccade.annotation.evidence import box_px
from tests.pipelines.conftest import configured

NEW = ["width_px", "height_px", "evidence_px"]


@pytest.fixture
def answered(data: Path, tmp_path: Path, qwen2_5_vl: Path) -> Path:
    """A run over six images in this process, the last of which cannot be read."""
    (data.parent / "5.png").write_bytes(b"no image")
    batch(configured(data, tmp_path / "run", qwen2_5_vl, in_process=True), Console(quiet=True))
    return tmp_path / "run"


def rows(run: Path) -> list[dict[str, Any]]:
    return list(stored.rows(run, cells=True))


def test_where_an_answer_was_read_in_pixels_of_the_image(answered: Path) -> None:
    made = rows(answered)
    assert len(made) == 18 and sum(row["error"] is not None for row in made) == 3
    for row in made:
        if row["error"] is not None:
            assert [row[name] for name in NEW] == [None, None, None]
            continue
        even = int(row["id"][0]) % 2 == 0
        assert (row["width_px"], row["height_px"]) == ((196, 112) if even else (140, 196))
        if not row["answer"].strip():
            assert row["evidence_px"] is None
            continue
        x0, y0, x1, y1 = row["evidence_px"]
        assert 0 <= x0 < x1 <= row["width_px"] and 0 <= y0 < y1 <= row["height_px"]
        assert tuple(row["evidence_px"]) == box_px(row, row["width_px"], row["height_px"]) and row["attended"]
    assert any(row["answer"] for row in made)


def test_an_older_run_without_these_columns_goes_on(
    answered: Path, data: Path, tmp_path: Path, qwen2_5_vl: Path
) -> None:
    before = rows(answered)
    files = sorted((answered / "answers").iterdir())
    for file in files:
        table = pq.read_table(file)
        pq.write_table(table.drop_columns(NEW), file)
    files[2].unlink()
    batch(configured(data, answered, qwen2_5_vl, in_process=True, resume=True), Console(quiet=True))
    after = {row["id"]: row for row in rows(answered)}
    assert set(after) == {row["id"] for row in before}
    for row in before:
        new = row["id"].startswith("2-")
        assert after[row["id"]]["evidence_px"] == (row["evidence_px"] if new else None)
    lines = [json.loads(line) for line in export(answered, "jsonl").read_text().splitlines()]
    assert sum(line["width_px"] is not None for line in lines) == 3
    assert 'class="crop"' in report(answered, None, 4).read_text()  # drawn from what older rows hold as well
