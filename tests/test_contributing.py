"""What .github/CONTRIBUTING.md promises: its paths exist, and one more file of each kind is found by its name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
ROWS = [[cell.strip() for cell in row.strip("| ").split("|")] for row in re.findall(r"^\| an? .*$", PAGE, re.M)]
KINDS = {path: what for what, files, path, _ in ((r[0], r[1], r[2].strip("`"), r[3]) for r in ROWS) if files == "1"}

LISTED = """
from pipelines.commands import app as cli
from saccade.registry import Strategy, find, names
for kind in {kinds!r}:
    assert "added" in names(kind), kind
    assert kind == "families" or find(kind, "added", Strategy).name() == "added", kind
assert "added" in cli.names() and cli.load("added") is not None
"""


IN_TWO = {
    "saccade/types.py": (
        ("    attended: tuple[tuple[int, float], ...] = ()\n", "    length: int = 7\n"),
        ("    deepstack: Tensor | None = None  # (N, L, D), added", "    ones: Tensor | None = None\n"),
    ),
    "pipelines/runs/rows.py": (
        ('        ("peak_mb", pa.float64()),', '        ("length", pa.int32()),\n'),
        ('        "readable": trace.answer.readable,\n', '        "length": trace.answer.length,\n'),
    ),
    "saccade/families/_qwen_tower.py": (
        (
            "fingerprint, patches, deepstack)",
            "        encodings[-1] = replace(encodings[-1], ones=torch.ones(num, 1))\n",
        ),
        ("from collections.abc import Sequence\n", "from dataclasses import replace\n"),
    ),
}
"""Lines of the files that the page names, and what is put after each, to store a field and to carry a tensor."""

CARRIED = """
from pathlib import Path
import pyarrow.parquet as pq
from typer.testing import CliRunner
from pipelines.commands import app as cli
from pipelines.execute.serialization import freeze, thaw
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.geometry.levels import stack
from saccade.training.stored import read, write
words = ["batch", "--in-process", "--limit", "1", "--page-px", "256", "--output", "run"]
done = CliRunner().invoke(cli.app, words)
assert done.exit_code == 0, done.output
assert pq.read_table("run/answers").column("length").to_pylist() == [7]
data = SynthDoc(page_px=256, num_pages=1)
(row,) = data.rows()
with HF().open_encoder() as engine:
    (encoding,) = engine.encode([engine.prepare(data.picture(row.source))])
assert encoding.ones.shape == (len(encoding), 1)
write(Path("page.parquet"), row, encoding, [], None)
for back in (thaw(freeze(encoding)), read(Path("page.parquet"), data.picture).encoding):
    assert back.ones.equal(encoding.ones)
assert len(stack([encoding, encoding]).ones) == 2 * len(encoding)
"""


def test_every_path_exists() -> None:
    paths = [path for path in re.findall(r"`([\w./]+)`", PAGE) if "/" in path]
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / path).exists(), path


def test_the_rooms_exist() -> None:
    (tree,) = re.findall(r"## The rooms\n\n(.*?)\n\n[A-Z]", PAGE, re.S)
    top = ROOT
    for line in tree.splitlines():
        depth = len(line) - len(line.lstrip())
        names = re.match(r"\s*((?:[\w.]+/? ?)+?)(?:\s{2,}|$)", line)
        assert names is not None, line
        for name in names[1].split():
            assert (ROOT if depth == 4 else top).joinpath(name).exists(), name
        if depth == 4:
            top = ROOT / names[1].split()[0]


def test_one_file_adds_one_of_each_kind(tmp_path: Path) -> None:
    for top in ("saccade", "pipelines"):
        shutil.copytree(ROOT / top, tmp_path / top, ignore=shutil.ignore_patterns("__pycache__", "configs"))
    kinds = []
    for path in KINDS:
        if path == "saccade/config.py":
            continue  # tests/pipelines/commands/test_options.py adds a setting to it
        added = (tmp_path / path).with_name("added.py")
        text = (tmp_path / path).read_text()
        if path.startswith("saccade/"):
            kinds.append(str(Path(path).parent.relative_to("saccade")).replace("/", "."))
        else:
            name = Path(path).stem
            text = text.replace(f"def {name}(", "def added(")
        added.write_text(text)
    assert len(kinds) == 9
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code = [sys.executable, "-W", "ignore", "-c", LISTED.format(kinds=kinds)]
    done = subprocess.run(code, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_files_add_a_stored_field_or_a_tensor(tmp_path: Path) -> None:
    named = {path for row in ROWS[-2:] for path in re.findall(r"`([\w/.]+)`", row[2])}
    assert named == set(IN_TWO) and [row[1] for row in ROWS[-2:]] == ["2", "2"]
    for top in ("saccade", "pipelines"):
        shutil.copytree(ROOT / top, tmp_path / top, ignore=shutil.ignore_patterns("__pycache__", "configs"))
    for path, changes in IN_TWO.items():
        text = (tmp_path / path).read_text()
        for line, added in changes:
            assert text.count(line) == 1, line
            end = text.index("\n", text.index(line)) + 1
            text = text[:end] + added + text[end:]
        (tmp_path / path).write_text(text)
    code = [sys.executable, "-W", "ignore", "-c", CARRIED]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(code, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_its_tests_have_a_place(row: list[str]) -> None:
    for place in re.findall(r"`(tests/[\w/]+)`", row[3]):
        assert (ROOT / place).is_dir() and any((ROOT / place).iterdir())


def test_numbers_are_those_of_the_checks() -> None:
    layers = (ROOT / "tests" / "test_layers.py").read_text()
    lines, length = re.search(r"at most (\d+) lines, functions at most (\d+)", PAGE).groups()  # type: ignore[union-attr]
    assert f"<= {lines}" in layers and f"<= {length}" in layers


def test_its_commands_are_those_of_ci() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    for command in ("ruff check", "ruff format --check", "mypy", "pytest -m slow"):
        assert command in PAGE and command in ci
