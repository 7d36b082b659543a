"""Command lines of the modules that run without typer (`python -m saccade.training.nano`), from their docstrings."""

import argparse


class Paragraphs(argparse.HelpFormatter):
    """Prose is wrapped to the terminal's width; what is indented, such as commands to copy, stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        parts = text.strip("\n").split("\n\n")
        return "\n\n".join(part if part.startswith(" ") else fill(part, width, indent) for part in parts)


def parser_of(docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with a module's docstring."""
    return argparse.ArgumentParser(description=docstring, formatter_class=Paragraphs)
