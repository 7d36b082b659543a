"""SYSTEMS.md keeps its word: every id once, paths, commands, names and tests that exist, and no strategy left out."""

import ast
import importlib
import importlib.util
import io
import re
import shlex
import subprocess
import tokenize
from pathlib import Path
from typing import Any

import pytest
import typer

from pipelines.commands import app, options
from pipelines.commands.settings import episode_and_engine, merged
from pipelines.runs.config import Looking
from pipelines.runs.experiment import find_experiment, read_experiment
from saccade.heads.allocator import LevelNet
from saccade.heads.budget import BudgetNet
from saccade.heads.crosslevel import CrossLevel
from saccade.heads.files import save
from saccade.heads.projection import Projection
from saccade.heads.pyramid import LearnedPyramid
from saccade.importance import Mix
from saccade.registry import names
from saccade.training import parser
from tests.importance.heads import tiny_head
from tests.reduction.trained import MAKERS, tiny_trained

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "saccade/SYSTEMS.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")] for line in re.findall(r"^\| [A-Z]\d+ .*$", PAGE, re.M)
]
ROOMS = {"G": 8, "P": 6, "I": 16, "S": 10, "R": 11, "B": 8, "F": 8, "T": 4, "A": 8, "V": 8, "X": 12, "M": 4, "D": 4}
KINDS = ("samplers", "importance", "planners", "budgets", "integration", "reduction", "viz.pictures")


def each(column: int) -> pytest.MarkDecorator:
    """(id, what stands in backticks) of every row."""
    found = [(row[0], said) for row in ROWS for said in re.findall(r"`([^`]+)`", row[column])]
    return pytest.mark.parametrize(("id_", "said"), found, ids=[f"{id_}-{said[:60]}" for id_, said in found])


def test_every_id_is_a_row() -> None:
    everything = [f"{room}{number}" for room, last in ROOMS.items() for number in range(1, last + 1)]
    assert sorted(row[0] for row in ROWS) == sorted(everything)


def prose_of(path: Path) -> str:
    """The prose of a file: the whole of a text, the docstrings and comments of code."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    return "\n".join([*docstrings, *comments, *re.findall(r"\((?:[A-Z]\d+, )*[A-Z]\d+\)", text)])


def test_ids_stand_on_this_page_alone() -> None:
    ids = {row[0] for row in ROWS} - {"V1", "V2"}  # a part of the cortex, and runners of vLLM
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    texts = [ROOT / name for name in listed if name.endswith((".py", ".md", ".yaml", ".html", ".cff"))]
    pattern = re.compile(rf"\b(?:{'|'.join(ids)})\b")
    assert len(texts) > 500
    for path in texts:
        if path != ROOT / "saccade" / "SYSTEMS.md":
            assert not pattern.findall(prose_of(path)), f"{path} speaks of an id: say what it is"


def test_every_row_is_whole() -> None:
    for row in ROWS:
        assert len(row) == 5, row
        assert all("`" in cell for cell in row[2:]), row


@each(2)
def test_files_exist(id_: str, said: str) -> None:
    assert (ROOT / said).is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_no_strategy_is_left_out(kind: str) -> None:
    listed = set(re.findall(r"`([^`]+)`", " ".join(row[2] for row in ROWS)))
    files = {f"saccade/{kind.replace('.', '/')}/{name}.py" for name in names(kind)}
    assert not files - listed, "give each a row, or a place in one, in saccade/SYSTEMS.md"


@each(4)
def test_tests_exist(id_: str, said: str) -> None:
    path, _, name = said.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in found if name else any(each.startswith("test_") for each in found)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that commands on the page name: a picture, runs, configurations, trained parts."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "page.png").touch()
    (folder / "configs").symlink_to(ROOT / "configs")
    for run in ("demo", "looks"):
        (folder / "runs" / run).mkdir(parents=True)
    for kind in ("late", "mlp", "cross"):
        tiny_head(folder / "heads" / kind, kind)
    for name in MAKERS:
        tiny_trained(folder / "heads" / name, name)
    for name, module in (("allocator", LevelNet(6)), ("budget", BudgetNet(6)), ("crosslevel", CrossLevel(6, 6))):
        save(module, folder / "heads" / name)
    save(LearnedPyramid(), folder / "heads" / "filters")
    save(Projection(6, 6), folder / "heads" / "vit")
    return folder


@each(3)
def test_commands_and_calls_exist(id_: str, said: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    first, *words = shlex.split(said)
    if first == "saccade":
        check_command(words)
    elif first == "python":
        check_module(words[1], [word for word in words if word.startswith("--")])
    else:
        assert callable(attribute(said))


def check_command(words: list[str]) -> None:
    """The command line takes the words, and what they name is there: strategies, settings, pictures, experiments."""
    command: Any = app.load(words.pop(0))
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    context = command.make_context(command.name, words)
    given = context.params
    if command.name == "ask":
        flags = {flag.name for flag in options.flags(Looking)}
        every = {key: value for key, value in options.given_in(context).items() if key in flags}
        episode_and_engine(merged(given["config"], every, given["set"]))
    elif command.name == "show":
        assert given["what"].replace("-", "_") in names("viz.pictures")
        if given["scorer"]:
            Mix.parse(given["scorer"])
    elif command.name == "experiment":
        chosen = read_experiment(find_experiment(given["configuration"]))
        (chosen.with_heads(given["head"]) if given["head"] else chosen).resolved()


def check_module(name: str, asked: list[str]) -> None:
    """`python -m NAME` runs something that takes these options."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text()
    assert 'if __name__ == "__main__":' in source
    if "typer.Typer(" in source:
        command = typer.main.get_command(importlib.import_module(name).app)
        known = {option for parameter in command.params for option in parameter.opts}
    else:
        if "add_page_options(" in source:  # options that several trainings share
            source += Path(parser.__file__).read_text()
        known = set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', source))
    assert set(asked) <= known


def attribute(dotted: str) -> object:
    """What a dotted name stands for: the longest part that is a module, then its attributes."""
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)
