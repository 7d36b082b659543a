"""Results over several budgets as one table: a row for each method, a column for each budget."""

import re
from collections.abc import Mapping
from typing import Any

from saccade.metrics.bootstrap import interval_text
from saccade.wording import counted


def to_markdown(results: Mapping[str, Any]) -> str:
    """The scores of variants named `METHOD@TOKENS`, and below them those of all other variants."""
    methods: dict[str, dict[int, str]] = {}
    others = []
    for name, entry in results["variants"].items():
        text = interval_text(entry["score"])
        if match := re.fullmatch(r"(.+)@(\d+)", name):
            methods.setdefault(match[1], {})[int(match[2])] = text
        else:
            others.append(f"{name} {text} with {entry['visual_tok']:,.0f} tokens")
    sizes = sorted({size for cells in methods.values() for size in cells})
    lines = ["| tokens | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|" + "---|" * (len(sizes) + 1)]
    for method, cells in methods.items():
        lines.append(f"| {method} | " + " | ".join(cells.get(size, "-") for size in sizes) + " |")
    scored = next(iter(results["variants"].values()))["score"]
    about = (
        f"{results['metric']} [95 %], {results['title'].partition(', ')[2]}: "
        f"n = {counted(scored['num_questions'], 'question')} on {counted(scored['num_pages'], 'page')}; "
        f"intervals: bootstrap over pages. {'; '.join(others)}. "
        f"Commit {results.get('commit')}, {results.get('processor')}."
    )
    return "\n".join([*lines, "", about, ""])
