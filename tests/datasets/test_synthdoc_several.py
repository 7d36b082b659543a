"""Questions for several things: what they ask, where their answers stand, and that looks take them part by part."""

from itertools import combinations
from math import dist

import saccade
from saccade.datasets import Row, Skip
from saccade.datasets.synthdoc import SynthDoc
from saccade.datasets.synthdoc_several import APART, SynthDocSeveral


def test_a_question_is_of_as_many_fields_far_from_each_other() -> None:
    data = SynthDocSeveral(page_px=512, num_pages=12, parts=4, questions_per_page=2)
    rows = list(data.rows())
    assert sum(isinstance(row, Row) for row in rows) > 6
    for number, row in enumerate(rows):
        page = SynthDoc(page_px=512).page(number)
        if isinstance(row, Skip):
            assert row.reason == "too_few_regions"
            continue
        height, width = page.image.shape
        by_box = {field.answer_box: field for field in page.fields}
        for question in row.questions:
            fields = [by_box[box] for box in question.answer_boxes_uv]
            assert question.answers == (", ".join(field.answer for field in fields),) and len(fields) == 4
            asked = [field.question.rstrip("?").lower() for field in fields]
            assert question.text.lower() == f"{asked[0]}, {asked[1]}, {asked[2]} and {asked[3]}?"
            at = [((x0 + x1) / 2 * width, (y0 + y1) / 2 * height) for x0, y0, x1, y1 in question.answer_boxes_uv]
            assert min(dist(*pair) for pair in combinations(at, 2)) >= APART * max(width, height)
        ids = [question.id for question in row.questions]
        assert len(set(ids)) == len(ids)


def test_the_same_every_time_and_another_for_another_number_of_parts() -> None:
    three, four = (list(SynthDocSeveral(page_px=512, num_pages=4, parts=parts).rows()) for parts in (3, 4))
    assert three == list(SynthDocSeveral(page_px=512, num_pages=4, parts=3).rows()) != four


def test_looks_go_to_all_that_is_asked_for() -> None:
    """With the bundled gaze, on most pages: a look too many goes where two things stand close by."""
    data = SynthDocSeveral(page_px=512, num_pages=8, parts=4)
    looks = {"sampler": "topk", "scorer": "late", "fovea": 3, "budget": {"name": "fixed", "tokens": 30}}
    with saccade.load(**looks, fixations=7, stop_at=2) as eye:
        seen = [
            {step.gaze.reason[-11:] for step in eye.look(data.picture(row.source), row.questions[0].text).steps}
            for row in data.rows()
            if isinstance(row, Row)
        ]
    every = {f"part {number} of 4" for number in (1, 2, 3, 4)}
    assert all(parts <= every for parts in seen) and sum(parts == every for parts in seen) > len(seen) / 2
