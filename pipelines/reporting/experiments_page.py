"""The report of many experiments: their tables one after the other, as one HTML page and as Markdown."""

from html import escape
from pathlib import Path

from pipelines.reporting import experiment_page
from pipelines.reporting.html import header, section
from pipelines.reporting.page import page
from pipelines.runs import stored
from pipelines.runs.layout import Layout
from pipelines.runs.markdown import to_markdown
from saccade.files import write_text

LEAD = "What each compares is said in configs/experiments/{}.yaml. Its own page has its looks, errors and settings."


def write(folder: Path) -> tuple[Path, Path]:
    """Writes FOLDER/report.html and FOLDER/report.md about every experiment in FOLDER, by name; their paths.

    Raises:
        ConfigError: one of them has no results that can be read.
    """
    folders = [path for path in sorted(folder.iterdir()) if path.is_dir() and Layout(path).results_json.exists()]
    html, text = [header("All experiments", f"{len(folders)} of them"), "<main>"], ["# All experiments", ""]
    for path in folders:
        results = stored.results(Layout(path).results_json)
        title = experiment_page.title_of(results, path)
        link = f'<p class="lead"><a href="{escape(path.name)}/report.html">{escape(path.name)}/report.html</a></p>'
        parts = experiment_page.compared(results) + experiment_page.drawn(results, {}) + link
        html.append(section(title, LEAD.format(path.name), parts))
        text += [f"## {path.name}", "", to_markdown(results)]
    write_text(folder / "report.html", page("saccade: all experiments", "".join([*html, "</main>"])))
    write_text(folder / "report.md", "\n".join(text))
    return folder / "report.html", folder / "report.md"
