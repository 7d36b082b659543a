"""How well a checkpoint reads, in all the views of its card: `scores.json` beside its weights, and the card's table.

    saccade train card --checkpoint saccade/nano --fonts /usr/share/fonts --words /usr/share/dict

Generated validation pages, clean and worn, answered greedily; a view is what `saccade evaluate` calls so. Worn
pages are printed in type families, and where word lists are given once more in words, that training never saw. Ten
minutes on one core; nothing of it is kept if it is interrupted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.datasets.synthdoc import Real, SynthDoc
from saccade.datasets.synthdoc_real import SynthDocReal
from saccade.files import write_text
from saccade.training.evaluate import X_BINS, measure
from saccade.training.parser import parser_of

COMMAND = "saccade train card"
CLEAN, WORN, WORDED = "clean", "worn", "worn, in words held out"
SAID = {  # a view, in words
    "all": "all tokens",
    "ink": "ink, encoded alone",
    "ink:8": "ink, print of 8 px",
    "resize@273": "resized to 273",
    "resize@819": "resized to 819",
    "look@273": "the 273 inked ones nearest to the answer, encoded alone",
    "look@273:8": "the same, print of 8 px",
    "away@273": "273 that do not show the answer",
}


@dataclass(frozen=True, slots=True)
class Run:
    """Pages of one kind and size, in some views."""

    print: str  # CLEAN, WORN or WORDED
    page_px: int
    pages: int
    views: tuple[str, ...]


RUNS = (
    Run(CLEAN, 512, 60, ("all", "ink", "ink:8", "resize@273", "look@273", "away@273")),
    Run(CLEAN, 1024, 12, ("all",)),
    Run(CLEAN, 1024, 40, ("ink:8", "ink", "resize@819", "look@273", "look@273:8", "away@273")),
    Run(WORN, 1024, 20, ("ink:8", "ink", "resize@819")),
    Run(WORDED, 1024, 20, ("ink:8", "ink")),
)


def _measured(checkpoint: Path, run: Run, fonts: str, words: str) -> dict[str, Any]:
    pages: dict[str, Any] = {"page_px": run.page_px, "num_pages": run.pages}
    worn = SynthDocReal(**pages, fonts=fonts, words=words if run.print == WORDED else "")
    return measure(checkpoint, SynthDoc(**pages) if run.print == CLEAN else worn, list(run.views))


def scores(checkpoint: Path, fonts: str, words: str) -> dict[str, Any]:
    """All runs: a row per view, and the characters that the dense head gets right.

    Raises:
        ConfigError: no such checkpoint, or a folder without fonts or word lists.
    """
    worn = Real(fonts, words, held_out=True)
    worn.families(), worn.lists()  # looked through before anything is read
    rows, characters = [], {}
    for run in RUNS:
        if run.print == WORDED and not words:
            continue
        report = _measured(checkpoint, run, fonts, words)
        characters[run.print] = _rounded(report["characters"])
        about = {"print": run.print, "page_px": run.page_px, "pages": run.pages}
        rows += [{**about, "view": view, **_rounded(summary)} for view, summary in report["views"].items()]
    given = "".join(f" --{name} {folder}" for name, folder in (("fonts", fonts), ("words", words)) if folder)
    return {"command": f"{COMMAND} --checkpoint {checkpoint}{given}", "runs": rows, "characters": characters}


def _rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in numbers.items()}


def to_markdown(measured: Mapping[str, Any]) -> str:
    """The card's table: a row per view."""
    bins = [f"{low}-{high}" for low, high in X_BINS[:-1]] + [f"> {X_BINS[-1][0]}"]
    heads = ["page px", "print", "view", "n", "visual tokens", "ANLS", "exact", "cannot read", "in view"]
    lines = [f"| {' | '.join(heads)} | {' / '.join(bins)} px |", "|" + "---|" * (len(heads) + 1)]
    for row in measured["runs"]:
        by_height = [row.get(f"anls_x{low}_{high}") for low, high in X_BINS]
        inside = row.get("cannot_read_in_view")
        cells = [
            row["page_px"], row["print"], SAID.get(row["view"], row["view"]), row["n"], round(row["visual_tok"]),
            *(f"{row[name]:.3f}" for name in ("anls", "exact", "cannot_read")),
            "-" if inside is None else f"{inside:.2f}",
            " / ".join("-" if score is None else f"{score:.2f}" for score in by_height),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Writes `scores.json` into the checkpoint's folder and prints the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("saccade/nano"), help="its folder [saccade/nano]")
    parser.add_argument("--fonts", default="", help="folder of fonts for worn pages; '': matplotlib's")
    parser.add_argument("--words", default="", help="folder of word lists; '': no pages in their words")
    args = parser.parse_args(argv)
    measured = scores(args.checkpoint, args.fonts, args.words)
    write_text(args.checkpoint / "scores.json", json.dumps(measured, indent=1) + "\n")
    print(to_markdown(measured))


if __name__ == "__main__":
    main()
