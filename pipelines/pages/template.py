"""Reads the HTML pages that lie beside the code that fills them, and adds the style that all of them share."""

from pathlib import Path

STYLE = Path(__file__).with_name("style.css")


def template(file: Path) -> str:
    """The page in a file, with the shared style where it says {{style}}; the page's own rules come after it."""
    return file.read_text("utf-8").replace("{{style}}", STYLE.read_text("utf-8").rstrip("\n"))
