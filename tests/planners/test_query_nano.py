"""The planner `query` with the bundled model and its trained gaze: who asks for two things gazes at both."""

from itertools import combinations
from math import dist

import pytest

import saccade
from saccade import Eye, Picture, Question, Trace
from saccade.datasets.synthdoc import SynthDoc
from saccade.types import Box

PAGES, TRIED = 20, 32  # pages asked for two things, of so many
CELL_PX = 16


@pytest.fixture(scope="module")
def eye():
    looks = {"sampler": "topk", "scorer": "late", "fovea": 3, "budget": {"name": "fixed", "tokens": 30}}
    with saccade.load(**looks, fixations=2, stop_at=2, question_parts="together") as opened:
        yield opened


def boxes(question: Question) -> list[Box]:
    return [*question.answer_boxes_uv, tuple(question.metadata["key_box_uv"])]


def apart(pair: tuple[Question, Question]) -> float:
    return dist(*(question.metadata["key_box_uv"][:2] for question in pair))


def gazed(trace: Trace, picture: Picture, question: Question, looks: int) -> bool:
    """Whether one of the first gazes lies on the question's answer or label, or in the cell beside it."""
    dx, dy = (CELL_PX / side for side in picture.size_px)
    return any(
        x0 - dx <= x <= x1 + dx and y0 - dy <= y <= y1 + dy
        for x, y in (step.gaze.uv for step in trace.steps[:looks])
        for x0, y0, x1, y1 in boxes(question)
    )


def test_every_page_is_gazed_at_for_both_parts(eye: Eye) -> None:
    """Of pages where each part, in the same words, is gazed at alone: the residual query is tested, not the gaze."""
    data = SynthDoc(split="validation", page_px=512, num_pages=TRIED)
    found = []
    for row in data.rows():
        sample = data.sample(row)
        picture, (first, second) = sample.picture, max(combinations(sample.questions, 2), key=apart)
        parts = [first.text.rstrip("?"), second.text[0].lower() + second.text[1:]]
        alone = eye.look_many(picture, parts)
        if not all(gazed(trace, picture, each, 1) for trace, each in zip(alone, (first, second), strict=True)):
            continue
        trace = eye.look(picture, " and ".join(parts))
        found.append([gazed(trace, picture, each, 2) for each in (first, second)])
        assert {step.gaze.reason[-11:] for step in trace.steps} == {"part 1 of 2", "part 2 of 2"}
        if len(found) == PAGES:
            break
    assert found == [[True, True]] * PAGES
