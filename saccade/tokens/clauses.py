"""The things that one question asks for: "What is the date and what is the total?" asks for two."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter

BETWEEN = re.compile(
    r"(?:,|(?<!\s))\s+(?:and|or)\s+|(?P<comma>,)\s+|(?<![;?!])[;?!]+\s+(?:(?:and|or)\s+)?|(?<=\w{4})\.\s+(?=[A-Z])"
)
"""`and` or `or`, a comma, or the end of a sentence, which no short word ends: "no. 5". Each run of spaces or marks is
gone through once: a question may be all spaces."""
LISTED = re.compile(r"(?P<word>(?=\s(?:and|or)\s))|\n")
"""Before `and` or `or`; or the end of a line, where a list ends without either."""
QUESTION = re.compile(r"\W*(?:(?:in|at|on|for|to|from|by|of|with)\s+)?(?:wh(?:at|ich|o|om|ose|en|ere|y)|how)\b", re.I)
MOST = 4
"""Parts; a question of more is looked for as one, for each costs a scoring of the page."""


def parts_of(text: str, offsets: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """First token and last token + 1 of each part of a question, whose tokens stand at `offsets` (characters).

    A question for one thing is one part; words between parts belong to none.
    """
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    parts = []
    for first, last in _spans(text):  # by bisection: a question is as long as whoever sends it likes
        from_tok, to_tok = bisect_right(ends, first), bisect_left(starts, last)
        if from_tok < to_tok:
            parts.append((from_tok, to_tok))
    return tuple(parts) if len(parts) <= MOST else ((parts[0][0], parts[-1][1]),)


def texts_of(text: str) -> tuple[str, ...]:
    """The words of each part: for tokens that spell the whole text, as many as `parts_of` finds, in order."""
    found = list(_spans(text))
    return (
        tuple(text[first:last] for first, last in found) if len(found) <= MOST else (text[found[0][0] : found[-1][1]],)
    )


def are_questions(texts: Sequence[str]) -> bool:
    """Whether each text could be asked by itself: "Tax and service charge" is one thing, however many words name it."""
    return all(QUESTION.match(text) for text in texts)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """First character and last + 1 of what stands between the words that part a question."""
    at, whole = 0, len(text.rstrip())
    marks = [(mark.start(), mark["word"] is not None) for mark in LISTED.finditer(text)]
    for match in BETWEEN.finditer(text):
        ahead = bisect_left(marks, match.end(), key=itemgetter(0))
        if match["comma"] and not (ahead < len(marks) and marks[ahead][1]):
            continue  # only in a list that ends with `and` or `or` on the same line does a comma part things
        if text[at : match.start()].strip():
            yield at, match.start()
        at = match.end()
    if text[at:whole].strip():
        yield at, whole
