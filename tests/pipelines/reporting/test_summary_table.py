"""The table at the end of a batch counts one of a thing as one."""

from typing import Any

from pipelines.reporting.summary_table import facts

ONE: dict[str, Any] = {
    "questions": 1,
    "images": 1,
    "answered": 1,
    "metric": "ANLS",
    "score": None,
    "exact": None,
    "coverage": None,
    "sure": {"at": 0.7, "answers": 1, "score": None},
    "shrunk": {"images": 1, "side": 0.5},
    "visual_tok": None,
    "fixations": {"mean": None, "counts": {}},
    "images_per_s": None,
    "errors": 0,
}


def test_one_question_of_one_image() -> None:
    told = dict(facts(ONE))
    assert told["questions"] == "1 on 1 image" and told["at least 0.7 sure"] == "1 of 1 answer"
    assert told["shown smaller"].startswith("1 image, to 50% of the sides")
    more = dict(facts(ONE | {"questions": 1200, "images": 2, "answered": 1200}))
    assert more["questions"] == "1,200 on 2 images" and more["at least 0.7 sure"] == "1 of 1,200 answers"
