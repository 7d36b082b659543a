"""Rows of answers as a run of the tiny model stores them: their size, and where each answer was read."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipelines.commands.app import app
from pipelines.execute.run import batch
from pipelines.reporting.page import report
from pipelines.runs import stored
from pipelines.runs.export import export
from pipelines.runs.rows import FIXATION, GRID
from saccade.annotation.evidence import box_px
from tests.decoding.test_pages import SHEETS, file_of
from tests.pipelines.conftest import configured

NEW = ["width_px", "height_px", "evidence_px", "path", "page"]


@pytest.fixture
def answered_run(data: Path, tmp_path: Path, qwen2_5_vl: Path) -> Path:
    """A run over six images in this process, the last of which cannot be read."""
    (data.parent / "5.png").write_bytes(b"no image")
    batch(configured(data, tmp_path / "run", qwen2_5_vl, in_process=True), Console(quiet=True))
    return tmp_path / "run"


def older(table: pa.Table) -> pa.Table:
    """A table as it was written before there were these columns, and levels in looks and grids."""
    kept = [column for column in FIXATION if column.name != "levels"]
    listed = pa.list_(pa.struct(kept))
    looks = [None if row is None else [without(look) for look in row] for row in table["fixations"].to_pylist()]
    grids = [without(grid) for grid in table["grid"].to_pylist()]
    grid = pa.struct([column for column in GRID if column.name != "levels"])
    table = table.drop_columns([*NEW, "fixations", "grid"])
    return table.append_column("fixations", pa.array(looks, listed)).append_column("grid", pa.array(grids, grid))


def without(value: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else {key: each for key, each in value.items() if key != "levels"}


def rows(run: Path) -> list[dict[str, Any]]:
    return list(stored.rows(run, cells=True))


def test_where_an_answer_was_read_in_pixels_of_the_image(answered_run: Path, data: Path) -> None:
    made = rows(answered_run)
    assert len(made) == 18 and sum(row["error"] is not None for row in made) == 3
    for row in made:
        if row["error"] is not None:
            assert [row[name] for name in NEW] == [None, None, None, str(data.parent / "5.png"), None]
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
    answered_run: Path, data: Path, tmp_path: Path, qwen2_5_vl: Path
) -> None:
    before = rows(answered_run)
    files = sorted((answered_run / "answers").iterdir())
    for file in files:
        pq.write_table(older(pq.read_table(file)), file)
    files[2].unlink()
    batch(configured(data, answered_run, qwen2_5_vl, in_process=True, resume=True), Console(quiet=True))
    after = {row["id"]: row for row in rows(answered_run)}
    assert set(after) == {row["id"] for row in before}
    for row in before:
        new = row["id"].startswith("2-")
        for name in ("evidence_px", "path"):
            assert after[row["id"]][name] == (row[name] if new else None)
        assert after[row["id"]]["fixations"] == row["fixations"]
    lines = [json.loads(line) for line in export(answered_run, "jsonl").read_text().splitlines()]
    assert sum(line["width_px"] is not None for line in lines) == 3
    assert 'class="crop"' in report(answered_run, None, 4).read_text()  # drawn from what older rows hold as well


def test_the_file_and_the_page_of_each_row(tmp_path: Path, qwen2_5_vl: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "fax.tif").write_bytes(file_of("TIFF", [sheet.resize((140, 196)) for sheet in SHEETS[:2]]))
    (scans / "bad.pdf").write_bytes(b"%PDF-1.4 no more")
    run = tmp_path / "run"
    dataset = {"name": "folder", "data_path": str(scans), "question": "What?"}
    batch(configured(scans, run, qwen2_5_vl, in_process=True, dataset=dataset), Console(quiet=True))
    made = {row["id"]: (row["path"], row["page"]) for row in rows(run)}
    fax = str(scans / "fax.tif")
    assert made == {"bad.pdf": (str(scans / "bad.pdf"), None), "fax.tif#page=1": (fax, 1), "fax.tif#page=2": (fax, 2)}
    place = f"{fax}, page 2, 140 x 196 px"
    assert place in report(run, None, 4).read_text()
    assert CliRunner().invoke(app, ["show", str(run), "--id", "fax.tif#page=2"]).output.startswith(f"{place}\n")
