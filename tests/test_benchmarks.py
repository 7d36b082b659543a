"""Benchmarks say what they are before they run for minutes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "tests" / "benchmarks").glob("*.py") if path.stem != "__init__")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_help_explains_and_runs_nothing(name: str) -> None:
    results = ROOT / "tests" / "benchmarks" / "results"
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert said.returncode == 0, said.stderr
    assert f"python -m tests.benchmarks.{name}" in said.stdout
    assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == before
