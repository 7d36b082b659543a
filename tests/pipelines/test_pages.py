"""Every HTML page has the shared style, and says none of its rules again."""

from pathlib import Path

import pytest

import pipelines
from pipelines.pages.template import STYLE, template

PAGES = sorted(Path(pipelines.__file__).parent.glob("*/*.html"))


def rules(css: str) -> set[str]:
    """The rules of a style, one a line, without what stands inside braces over several lines."""
    return {line for line in css.splitlines() if line.endswith("}") and "{" in line and not line.startswith(" ")}


@pytest.mark.parametrize("path", PAGES, ids=[path.parent.name for path in PAGES])
def test_a_page_has_the_shared_style_and_repeats_none_of_it(path: Path) -> None:
    own, shared = path.read_text("utf-8"), STYLE.read_text("utf-8")
    assert own.count("{{style}}") == 1 and not rules(own) & rules(shared)
    filled = template(path)
    assert "{{style}}" not in filled and all(line in filled for line in shared.splitlines())


def test_the_pages_are_known() -> None:
    assert [path.parent.name for path in PAGES] == ["annotating", "reporting", "serving"]
