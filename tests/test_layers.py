"""The order of the house: contracts in pyproject.toml, what importing saccade does, and how small its files are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import saccade

ROOT = Path(__file__).parent.parent
FILES = sorted(path for top in ("saccade", "pipelines") for path in (ROOT / top).rglob("*.py"))


def test_imports_keep_the_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    cli = pytest.importorskip("importlinter.cli", reason="pip install import-linter")
    monkeypatch.chdir(ROOT)
    assert cli.lint_imports(no_cache=True) == 0, "lint-imports says which import goes the wrong way"


def run(code: str) -> list[str]:
    """Words that a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_import_saccade_is_light() -> None:
    heavy = "{'ray', 'vllm', 'transformers'}"
    assert run(f"import sys, saccade; print(*{{m.partition('.')[0] for m in sys.modules}} & {heavy})") == []


def test_import_saccade_changes_nothing() -> None:
    run(
        "import sys; before = list(sys.meta_path), list(sys.path_hooks)\n"
        "import saccade; assert before == (list(sys.meta_path), list(sys.path_hooks))"
    )


def test_no_public_name_hides_a_module() -> None:
    modules = {path.stem if path.is_file() else path.name for path in (ROOT / "saccade").iterdir()}
    assert not modules & set(saccade.__all__)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_files_are_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert len(text.splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"
