"""The things that one question asks for: "What is the date and what is the total?" asks for two."""

import re
from collections.abc import Sequence

BETWEEN = re.compile(
    r",?\s+(?:and|or)\s+|,\s+(?=.*\s(?:and|or)\s)|[;?!]+\s+(?:(?:and|or)\s+)?|(?<=\w{4})\.\s+(?=[A-Z])"
)
"""`and` or `or`, a comma in a list that ends so, or the end of a sentence, which no short word ends: "no. 5"."""
MOST = 4
"""Parts; a question of more is looked for as one, for each costs a scoring of the page."""


def parts_of(text: str, offsets: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """First token and last token + 1 of each part of a question, whose tokens stand at `offsets` (characters).

    A question for one thing is one part; words between parts belong to none.
    """
    spans, at = [], 0
    for match in [*BETWEEN.finditer(text), None]:
        end = len(text.rstrip()) if match is None else match.start()
        if text[at:end].strip():
            spans.append((at, end))
        at = end if match is None else match.end()
    found = []
    for first, last in spans:
        inside = [number for number, (start, end) in enumerate(offsets) if start < last and end > first]
        if inside:
            found.append((inside[0], inside[-1] + 1))
    return tuple(found) if len(found) <= MOST else ((found[0][0], found[-1][1]),)
