"""Faults injected into runs of the bundled model: every question has one row afterwards, and no row holds an error."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.benchmarks import survival
from tests.engines.conftest import needs_vllm

NEEDS = {
    "vllm": [needs_vllm],
    "disk": [pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="root mounts a small disk")],
}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS.get(name, [])) for name in survival.FAULTS])
def test_nothing_is_lost_and_nothing_is_there_twice(name: str) -> None:
    row = survival.survive(name)
    assert row["rows"] == row["questions"] == survival.IMAGES * survival.QUESTIONS
    assert (row["lost"], row["repeated"], row["error_rows"]) == (0, 0, 0)


def test_what_is_lost_or_there_twice_is_counted(tmp_path: Path) -> None:
    import pyarrow as pa

    from pipelines.runs.files import write_parquet

    night = survival.Night(tmp_path)
    (night.output / "answers").mkdir(parents=True)
    ids = survival.IDS[1:4] + survival.IDS[3:4]
    table = pa.table({"id": ids, "error": pa.array([None, None, "x", None], pa.string())})
    write_parquet(table, night.output / "answers" / "00000000.parquet")
    summary = night.output / "summary.json"
    summary.write_text(json.dumps({"questions": 4, "images": 1}))
    total = survival.IMAGES * survival.QUESTIONS
    expected = {"questions": total, "rows": 4, "lost": total - 3, "repeated": 1, "error_rows": 1}
    assert night.counts() == expected
    summary.write_text(json.dumps({"questions": 5, "images": 1}))
    with pytest.raises(RuntimeError, match=r"summary\.json does not say what is there"):
        night.counts()


def test_nothing_was_lost_where_it_was_measured() -> None:
    rows = json.loads(survival.RESULTS.read_text())["rows"]
    assert rows and set(rows) <= set(survival.FAULTS)
    for name, row in rows.items():
        assert (row["fault"], row["injected"]) == survival.FAULTS[name][:2]
        assert row["rows"] == row["questions"] and (row["lost"], row["repeated"], row["error_rows"]) == (0, 0, 0), name
