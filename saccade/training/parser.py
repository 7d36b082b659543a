"""Command lines of the modules that run without typer (`python -m saccade.training.nano`), from their docstrings."""

import argparse
from pathlib import Path


class Paragraphs(argparse.HelpFormatter):
    """Prose is wrapped to the terminal's width; what is indented, such as commands to copy, stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        parts = text.strip("\n").split("\n\n")
        return "\n\n".join(part if part.startswith(" ") else fill(part, width, indent) for part in parts)


def parser_of(docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with a module's docstring."""
    return argparse.ArgumentParser(description=docstring, formatter_class=Paragraphs)


def add_page_options(parser: argparse.ArgumentParser) -> None:
    """The options of trainings on generated pages: how many, how large, how long, what is read, and where to."""
    parser.add_argument("--pages", type=int, default=64, help="training pages; a quarter as many are held out [64]")
    parser.add_argument("--page-px", type=int, default=512, help="longest side of the pages [512]")
    parser.add_argument("--steps", type=int, default=300, help="steps of the optimizer [300]")
    parser.add_argument("--read", type=int, default=0, help="held-out questions to read with and without it [0]")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained module, its curve and its state")
