"""Pieces of a report's HTML. What is given as text is escaped here; what is given as HTML is named so."""

from collections.abc import Iterable, Sequence
from html import escape

CUT = 300  # letters of a cell or a line, at most: one endless answer must not make the page


def cut(text: object) -> str:
    """A text as HTML, shortened."""
    words = str(text)
    return escape(words if len(words) <= CUT else words[: CUT - 1] + "…")


def header(title: str, facts: str) -> str:
    """The top of the page."""
    return f"<header><small>saccade report</small><h1>{cut(title)}</h1><p>{cut(facts)}</p></header>"


def section(name: str, lead: str, html: str) -> str:
    """A part of the page with its heading and a sentence about it."""
    paragraph = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f"<section><h2>{escape(name)}</h2>{paragraph}{html}</section>"


def tile(value: str, name: str, bad: bool = False) -> str:
    """One number and what it is."""
    return f'<div class="card tile{" bad" if bad else ""}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def card(name: str, html: str, note: str = "") -> str:
    """A chart with its name above it and a sentence below."""
    paragraph = f"<p>{cut(note)}</p>" if note else ""
    return f'<div class="card"><h3>{escape(name)}</h3>{paragraph}{html}</div>'


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """A table of two columns: what, and how much."""
    lines = "".join(
        f'<tr><th scope="row">{cut(name)}</th><td class="words">{cut(value)}</td></tr>' for name, value in rows
    )
    return f'<div class="card wide"><table class="pairs"><tbody>{lines}</tbody></table></div>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """A table. Columns `words` hold text, which may break; the others numbers."""
    top = "".join(f'<th scope="col">{cut(head)}</th>' for head in heads)
    lines = "".join(
        "<tr>"
        + "".join(f'<td class="{"words" if n in words else "n"}">{cut(cell)}</td>' for n, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="card wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def folded(name: str, html: str) -> str:
    """Something that is shown when its name is clicked."""
    return f"<details><summary>{escape(name)}</summary>{html}</details>"
