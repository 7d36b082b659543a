"""A table of budgets, by hand."""

from pipelines.runs.curve import to_markdown
from pipelines.runs.tables import summarise
from tests.pipelines.runs.test_tables import experiment, row

SCORES = {"full": 1.0, "resize@73": 0.0, "resize@1000": 0.5, "gaze@73": 0.25}


def test_a_row_for_each_way_and_a_column_for_each_budget() -> None:
    rows = [row(name, number, score) for name, score in SCORES.items() for number in range(4)]
    made = {
        **summarise(rows, experiment(*SCORES)),
        "title": "a curve, tiny pages",
        "commit": "abc",
        "processor": "none",
    }
    lines = to_markdown(made).splitlines()
    assert lines[0] == "| tokens | 73 | 1,000 |" and lines[1] == "|---|---|---|"
    assert lines[2] == "| resize | 0.00 | 0.50 |"
    assert lines[3] == "| gaze | 0.25 | - |"
    assert lines[5].startswith("ANLS [95 %], tiny pages: n = 4 questions on 2 pages")
    assert "full 1.00 with 273 tokens." in lines[5]
