"""The order of the house (DESIGN section 2), read from the imports themselves, and how small its files are."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for top in ("saccade", "pipelines") for path in (ROOT / top).rglob("*.py"))

LAYERS: list[set[str]] = [
    {"errors", "machine", "picture", "types"},
    {"registry", "untrusted", "geometry"},
    {"tokens"},
    {"heads"},
    {"importance", "samplers", "planners", "budgets", "integration", "reduction", "metrics"},
    {"families", "engines", "datasets", "nano"},
    {"config", "episode", "eye", "lazy", "queries"},
    {"training", "analysis"},
    {"viz"},
    {""},  # saccade/__init__.py itself
]
STRANGERS = LAYERS[4]  # siblings that never meet
DEPTH = {room: depth for depth, rooms in enumerate(LAYERS) for room in rooms}


def room(module: str) -> str:
    """The room of a module of saccade: `saccade.samplers.topk` -> samplers, `saccade` -> ''."""
    return (module.split(".") + [""])[1]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def imports(path: Path) -> Iterator[str]:
    """Absolute names of everything a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if is_module(full) else str(node.module)


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", FILES, ids=ids(FILES))
def test_imports_go_down_only(path):
    here = module_of(path)
    for name in imports(path):
        top = name.partition(".")[0]
        if here.startswith("saccade"):
            assert top not in ("ray", "typer", "pipelines"), f"{here} imports {name}: that is for pipelines/"
        if top == "vllm":
            assert here.startswith("saccade.engines.vllm"), f"{here} imports {name}: only the vLLM engine may"
        if top != "saccade" or not here.startswith("saccade") or room(name) == room(here):
            continue
        assert DEPTH.get(room(name), 99) <= DEPTH.get(room(here), -1), f"{here} imports {name}, which lies above it"
        strangers = room(name) in STRANGERS and room(here) in STRANGERS
        assert not strangers, f"{here} imports {name}: siblings never meet, what two need lives in geometry or tokens"


def test_every_room_has_a_layer():
    rooms = {room(module_of(path)) for path in FILES if module_of(path).startswith("saccade")}
    assert rooms <= set(DEPTH)


def test_import_saccade_is_light():
    code = "import sys, saccade; print(*{m.partition('.')[0] for m in sys.modules} & {'ray', 'vllm', 'transformers'})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_import_saccade_changes_nothing():
    code = (
        "import sys; before = list(sys.meta_path), list(sys.path_hooks)\n"
        "import saccade; assert before == (list(sys.meta_path), list(sys.path_hooks))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", FILES, ids=ids(FILES))
def test_files_are_small_and_say_what_they_are(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert len(text.splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


def test_no_public_name_hides_a_module():
    import saccade

    assert not [name for name in saccade.__all__ if is_module(f"saccade.{name}")]
