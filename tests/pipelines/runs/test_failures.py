"""Classes of failures: each wrong answer by what would have made it right, worked by hand."""

from pipelines.runs.wrong_answers import Failing, classes, to_markdown
from tests.pipelines.runs.test_tables import row

FAILING = Failing(of="looks", oracle="told", everything="full")
SCORES = {  # looks, told, full
    0: (1.0, 0.0, 0.0),  # read, whatever the others make of it
    1: (0.0, 1.0, 0.0),  # the reader, even if an oracle is lucky
    2: (0.4, 0.5, 1.0),  # the gaze
    3: (0.0, 0.0, 1.0),  # too few tokens
    4: (0.0, 0.9, 0.9),  # the gaze
    5: (0.0, 0.0, 0.0),  # the reader
}
ROWS = [
    row(name, number, score, confidence=0.1 * number)
    for number, scores in SCORES.items()
    for name, score in zip(("looks", "told", "full"), scores, strict=True)
]


def test_classes_by_hand() -> None:
    made = classes(ROWS, FAILING)
    counts = {name: entry["n"] for name, entry in made["classes"].items()}
    assert counts == {"read": 1, "reader": 2, "gaze": 2, "tokens": 1} and made["n"] == 6
    assert made["classes"]["gaze"]["share"]["mean"] == 2 / 6
    assert {name: entry["told"] for name, entry in made["classes"].items()} == {
        "read": 0,
        "reader": 1,
        "gaze": 2,
        "tokens": 0,
    }
    assert [example["id"] for example in made["classes"]["gaze"]["examples"]] == ["q4", "q2"], "the surest first"
    assert sum(entry["n"] for entry in made["classes"].values()) == 6


def test_what_is_not_scored_is_left_out() -> None:
    hidden = [{**each, "score": None} if each["id"] == "q3" else each for each in ROWS]
    assert classes(hidden, FAILING)["n"] == 5
    failed = {key: ROWS[0][key] for key in ("id", "image_id", "variant", "question", "answers")}
    without = [each for each in ROWS if (each["id"], each["variant"]) != ("q0", "looks")]
    assert classes([*without, {**failed, "score": 0.0, "error": "E: x"}], FAILING)["classes"]["reader"]["n"] == 3


def test_markdown() -> None:
    text = to_markdown(classes([{**each, "question": "What | is it?"} for each in ROWS], FAILING))
    lines = text.splitlines()
    assert lines[0].startswith("| why `looks` fails | questions | share [95 %]") and len(lines) == 6
    assert "the reader; 1 of them are read from an oracle's looks | 2 |" in lines[3]
    assert "the gaze | 2 | 33 % [" in lines[4] and "What / is it? y (is x)" in lines[4]
    assert len({line.count("|") for line in lines}) == 1
