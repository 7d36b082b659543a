"""What `saccade ask` prints."""

from dataclasses import replace

from saccade.viz.text import lines
from saccade.viz.view import Look, TraceView
from tests.viz.views import live_trace, view


def test_one_line_a_fixation_and_the_answer() -> None:
    trace, grid = live_trace()
    assert lines(TraceView.from_trace(trace, grid, score=1.0)) == [
        "1  gaze (0.50, 0.25)  3 tokens  'A'          0.80  residual query 1.00",
        "2  gaze (0.88, 0.75)   1 token  cannot read  0.00  residual query 0.50",
        "answer 'A'  confidence 0.75  score 1.00  4 of 12 tokens (33 %)  2 fixations",
    ]


def test_a_view_has_no_gaze() -> None:
    whole = view([(0.5, 0.5)], rows=2, cols=2, kept=[(0, 1, 2, 3)], reason="view: full")
    assert lines(whole) == [
        "1  4 tokens  'INV-2041'  0.05  view: full",
        "answer 'INV-2041'  confidence 0.93  all 4 tokens  1 fixation",
    ]


def test_columns_align_with_ten_fixations_and_wide_characters() -> None:
    many = view([(0.5, 0.5)] * 10)
    looks = [replace(look, answer="合計" if number % 2 else "sum") for number, look in enumerate(many.looks)]
    out = lines(replace(many, looks=tuple(looks)))[:-1]
    assert out[0].startswith(" 1  ")
    assert out[9].startswith("10  ")
    at = [line.index("residual") + line.count("合計") * 2 for line in out]  # each of the two characters takes two cells
    assert len(set(at)) == 1


def test_an_answer_cannot_break_the_terminal() -> None:
    nasty = Look((0.1, 0.2), "why\r\nnot", 1, (0,), "a\n\x1b[31mred\u202e" + "x" * 500, 0.5)
    out = lines(TraceView("q", "two\nlines", 0.5, (nasty,), 1, 1))
    assert len(out) == 2
    assert all(char.isprintable() for line in out for char in line)
    assert "…" in out[0]
    assert len(out[0]) < 120
    assert "'two lines'" in out[1]


def test_a_trace_without_fixations_still_has_its_answer() -> None:
    assert lines(TraceView("q", "", 0.0, (), 2, 2)) == [
        "answer cannot read  confidence 0.00  0 of 4 tokens (0 %)  0 fixations"
    ]
