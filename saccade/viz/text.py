"""A trace as lines for a terminal: one per fixation, then the answer.

What `saccade ask` prints:

    1  gaze (0.62, 0.18)  273 tokens  'INV-2041'    0.93  residual query 0.81
    2  gaze (0.20, 0.75)  273 tokens  cannot read   0.00  residual query 0.40, (0.10, 0.71) inhibited
    answer 'INV-2041'  confidence 0.93  546 of 4,096 tokens (13 %)  2 fixations
"""

import unicodedata
from collections.abc import Sequence

from saccade.viz.view import TraceView, said, spent
from saccade.wording import counted

ANSWER_CELLS = 40
"""Answers longer than this many terminal cells are cut in the lines of fixations; never in the last line."""


def lines(view: TraceView) -> list[str]:
    """One line per fixation, columns aligned, one per part of a question that was taken apart, and a last line with the
    answer. Plain strings without escape codes.
    """
    columns = [
        [str(number) for number in range(1, len(view.looks) + 1)],
        [f"gaze ({look.gaze_uv[0]:.2f}, {look.gaze_uv[1]:.2f})" if look.aimed else "" for look in view.looks],
        [counted(look.num_tok, "token") if look.num_tok else "" for look in view.looks],
        [_cut(_quoted(look.answer), ANSWER_CELLS) for look in view.looks],
        [f"{look.confidence:.2f}" for look in view.looks],
        [_flat(look.reason) for look in view.looks],
    ]
    padded = [_aligned(column, right=place in (0, 2)) for place, column in enumerate(columns) if any(column)]
    table = ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]
    table += [
        f"{_cut(_quoted(question), ANSWER_CELLS)}  {_cut(_quoted(answer), ANSWER_CELLS)}  {confidence:.2f}"
        for question, answer, confidence in view.parts
    ]
    last = [f"answer {_quoted(view.answer)}", f"confidence {view.confidence:.2f}", spent(view)]
    if view.score is not None:
        last.insert(2, f"score {view.score:.2f}")
    return [*table, "  ".join([*last, counted(len(view.looks), "fixation")])]


def _quoted(answer: str) -> str:
    return f"'{_flat(answer)}'" if answer.strip() else said(answer)


def _flat(text: str) -> str:
    """One line: no newline, escape code or direction mark of an answer may reach the terminal."""
    blank = {"Cc": " ", "Zl": " ", "Zp": " ", "Cf": ""}
    return " ".join("".join(blank.get(unicodedata.category(char), char) for char in text).split())


def _cells(text: str) -> int:
    """Terminal cells that a text takes: East Asian wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _cut(text: str, cells: int) -> str:
    if _cells(text) <= cells:
        return text
    text = text[: 4 * cells]
    while _cells(text) > cells - 1:
        text = text[:-1]
    return text + "…"


def _aligned(column: Sequence[str], right: bool) -> list[str]:
    width = max(_cells(text) for text in column)
    pads = [" " * (width - _cells(text)) for text in column]
    return [pad + text if right else text + pad for pad, text in zip(pads, column, strict=True)]
