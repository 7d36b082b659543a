"""Lines that commands print: rich colours and wraps nothing in them, and takes no bracket of a path for its markup."""

from rich.console import Console


def say(console: Console, text: str, style: str | None = None) -> None:
    """Prints a text as it is."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
