"""One HTML file about a run or an experiment. It loads nothing else and needs no network.

Questions, answers and names come from outside: all of them are escaped where they are written, and the page's own
content policy allows no script but its own.
"""

import base64
import hashlib
import re
from html import escape
from pathlib import Path

from pipelines.pages.template import template
from pipelines.reporting import experiment_page, run_page
from pipelines.runs import stored
from saccade.errors import ConfigError
from saccade.files import write_text

TEMPLATE = Path(__file__).parent / "page.html"


def report(target: Path, output: Path | None, examples: int) -> Path:
    """Writes the page; its path. `examples`: of the best and of the worst answers, each.

    Raises:
        ConfigError: the target is neither a run nor an experiment, or the page cannot be written.
    """
    results = stored.results_file(target)
    if results is None:
        stored.check(target)
    path = output or (target if target.is_dir() else target.parent) / "report.html"
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"a report is written as .html; got {str(path)!r}")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {str(path.parent)!r} to write {path.name} into: make it first")
    title, body = run_page.body(target, examples) if results is None else experiment_page.body(results)
    write_text(path, page(title, body))
    return path


def page(title: str, body: str) -> str:
    """The whole document around a body of HTML. `title` is text."""
    before, after = template(TEMPLATE).split("{{body}}")
    script = re.search(r"<script>(.*)</script>", after, re.DOTALL)
    assert script is not None  # page.html holds it
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    before = before.replace("{{script}}", f"sha256-{digest}").replace("{{title}}", escape(title))
    return before + body + after
