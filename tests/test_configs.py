"""Files of results and settings name no place on one machine."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path
    for folder in ("configs", "tests/benchmarks/results", "saccade/nano")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".json", ".yaml", ".md")
)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_paths_are_relative(path: Path) -> None:
    absolute = re.findall(
        r"""[\s"'`(](?:/(?:home|root|work|tmp|mnt|Users|data)/[^\s"'`)]*|[A-Z]:\\\\[^\s"'`)]*)""", path.read_text()
    )
    assert not absolute, f"absolute paths in {path}: {absolute}"
