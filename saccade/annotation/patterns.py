"""Patterns of answers: regular expressions that the whole answer must match, and that it can be held to."""

import re


def matches(pattern: str, text: str) -> bool:
    """Whether a whole text, each run of white space as one space, is what a pattern asks for."""
    return re.fullmatch(pattern, " ".join(text.split())) is not None


def plain(pattern: str) -> str:
    """A pattern without the anchors around it: that the whole answer is meant is said to an automaton otherwise."""
    pattern = pattern.removeprefix("^")
    escaped = (len(pattern) - len(pattern[:-1].rstrip("\\"))) % 2 == 0  # an odd number of backslashes before the last
    return pattern[:-1] if pattern.endswith("$") and not escaped else pattern


def why_not(pattern: str) -> str | None:
    """Why no answer can be held to a pattern while it is written; None: it can."""
    from llguidance import LLMatcher

    error = LLMatcher.validate_grammar(LLMatcher.grammar_from_regex(plain(pattern)), None)
    if not error:
        return None
    reason = " ".join(error.split()).rpartition("error: ")[2].rpartition("(in regex): ")[2]
    return reason.partition(" 1 |")[0].partition(" in regex")[0]
