"""Results over several budgets as one table: a row for each way of looking, a column for each budget."""

import re
from collections.abc import Mapping
from typing import Any

from saccade.metrics.bootstrap import interval_text


def to_markdown(results: Mapping[str, Any]) -> str:
    """The scores of variants that are called `WAY@TOKENS`, and below what all other variants read."""
    ways: dict[str, dict[int, str]] = {}
    others = []
    for name, entry in results["variants"].items():
        text = interval_text(entry["score"])
        if found := re.fullmatch(r"(.+)@(\d+)", name):
            ways.setdefault(found[1], {})[int(found[2])] = text
        else:
            others.append(f"{name} {text} with {entry['visual_tok']:,.0f} tokens")
    sizes = sorted({size for cells in ways.values() for size in cells})
    lines = ["| tokens | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|" + "---|" * (len(sizes) + 1)]
    for way, cells in ways.items():
        lines.append(f"| {way} | " + " | ".join(cells.get(size, "-") for size in sizes) + " |")
    scored = next(iter(results["variants"].values()))["score"]
    about = (
        f"{results['metric']} [95 %], {results['title'].partition(', ')[2]}: n = {scored['num_questions']} questions "
        f"on {scored['num_pages']} pages; intervals: bootstrap over pages. {'; '.join(others)}. "
        f"Commit {results.get('commit')}, {results.get('processor')}."
    )
    return "\n".join([*lines, "", about, ""])
