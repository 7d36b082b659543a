"""Parts of a question, by hand: bytes are tokens, then words are."""

import re
import time

import pytest

from saccade.tokens.clauses import parts_of

CASES = {
    "What is the total?": ["What is the total?"],
    "What is the date and what is the total?": ["What is the date", "what is the total?"],
    "Name, address and date": ["Name", "address", "date"],
    "Who signed? What is the date?": ["Who signed", "What is the date?"],
    "Which is it: cash or card?": ["Which is it: cash", "card?"],
    "The date, and the total; or neither": ["The date", "the total", "neither"],
    "Is it 1,000.50 or more? ": ["Is it 1,000.50", "more"],
    "Was Sandor standing?": ["Was Sandor standing?"],
    "and": ["and"],
    "Name, address\nand date, in full": ["Name", "address", "date, in full"],
    "Name, in full\n\nYes? Date and place": ["Name, in full\n\nYes", "Date", "place"],
}


@pytest.mark.parametrize(("text", "parts"), CASES.items())
def test_parts_by_hand(text: str, parts: list[str]) -> None:
    spelled = [(at, at + 1) for at in range(len(text))]
    assert [text[first:last] for first, last in parts_of(text, spelled)] == parts
    words = [match.span() for match in re.finditer(r"\S+\s*", text)]  # tokens that hold several characters
    found = parts_of(text, words)
    assert [text[words[first][0] : words[last - 1][1]].strip(" ,;?\n") for first, last in found] == [
        part.strip(" ,;?\n") for part in parts
    ]


def test_nothing_asked_has_no_parts() -> None:
    assert parts_of("", []) == () and parts_of(" ? ", [(0, 1), (1, 2), (2, 3)]) == ()


@pytest.mark.parametrize("piece", ["a, ", "what? ", " ", "!", "and ", ",\n", "a\n, and b"])
def test_a_question_of_any_length_is_taken_apart_at_once(piece: str) -> None:
    """One of 140,000 characters held a server for minutes."""
    text = "x" + piece * (120_000 // len(piece)) + "y and z"
    started = time.perf_counter()
    parts_of(text, [(at, at + 1) for at in range(len(text))])
    assert time.perf_counter() - started < 5
