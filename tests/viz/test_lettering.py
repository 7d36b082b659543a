"""Wrapping and measuring text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.viz.lettering import MISSING, Style, block, measure, printable, wrap


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=120), st.floats(60, 500), st.integers(1, 4))
def test_lines_fit_and_nothing_but_the_end_is_lost(text: str, width: float, most: int) -> None:
    style = Style(16, lines=most)
    out = wrap(text, width, style)
    assert len(out) <= most
    assert all(measure(line, style) <= width for line in out)
    shown = "".join(out).replace(" ", "")
    whole = printable(text).replace(" ", "")
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]))


def test_words_stay_whole_where_they_fit() -> None:
    assert wrap("alpha beta gamma", measure("alpha beta g", Style(16)), Style(16)) == ["alpha beta", "gamma"]


@pytest.mark.filterwarnings("error")
def test_a_character_the_typeface_lacks_becomes_a_box() -> None:
    assert printable("Größe ≥ 5 €, Σ\tñ\n中") == f"Größe ≥ 5 €, Σ ñ {MISSING}"


def test_blocks_stack_without_overlap() -> None:
    made = block([("one two three four", Style(20, lines=4)), ("", Style(20)), ("five", Style(10))], 90)
    baselines = [line.y_px for line in made.lines]
    assert all(later - earlier >= 10 for earlier, later in zip(baselines, baselines[1:], strict=False))
    assert baselines[-1] < made.height_px
    assert made.lines[-1].text == "five"
