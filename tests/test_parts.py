"""Questions asked part by part: what is read, how sure it is, what it costs; and twenty pages read by nano."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from math import dist
from typing import Any

import pytest
import torch

import saccade
from pipelines.runs.rows import scored_rows
from saccade.config import Episode
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines import Reader
from saccade.engines.hf import HFEngine
from saccade.episode import episodes, run, see
from saccade.errors import DataError
from saccade.metrics.anls import anls
from saccade.parts import joined, split
from saccade.picture import Picture
from saccade.tokens.clauses import are_questions, texts_of
from saccade.types import Answer, Canvas, Question, Trace
from saccade.viz.text import lines
from saccade.viz.view import TraceView
from tests import tiny

TWO = Question("q", "Who signed and what is the total?")
PARTS = ["Who signed", "what is the total?"]
LOOKS = {"budget": {"name": "fixed", "tokens": 20}, "scorer": "variance", "fixations": 3}
PAGES = 20


class Script(Reader):
    """A reader that answers by the question, and is as sure as a function of (question, tokens in view)."""

    def __init__(self, sure: Callable[[str, int], float]) -> None:
        self.sure, self.asked = sure, list[tuple[str, int]]()

    def read(self, canvas: Canvas, question: str) -> Answer:
        self.asked.append((question, len(canvas)))
        text, sure = question.split()[-1], self.sure(question, len(canvas))
        if text == "Lost":
            raise DataError("lost")
        return Answer(text if sure else "", (-1.0,), sure, len(canvas), 3, 5, 0.01, readable=sure > 0)

    def forget(self) -> None:
        """There is nothing."""


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture.open(tiny.page(440, 400))


def looked(
    engine: HFEngine, picture: Picture, reader: Reader, asked: list[Question], **settings: object
) -> list[Trace]:
    chosen = Episode(**{**LOOKS, **settings})
    return run(episodes(chosen, see(chosen, engine, picture, asked)), reader)  # type: ignore[return-value]


def test_it_is_the_parts_asked_about_one_canvas(engine: HFEngine, picture: Picture) -> None:
    """Looks, answers and costs are those of two questions that share a canvas."""
    sure = lambda question, tok: 0.1 if "total" in question else 0.9  # noqa: E731
    readers = Script(sure), Script(sure)
    (trace,) = looked(engine, picture, readers[0], [TWO], question_parts="apart")
    alone = looked(engine, picture, readers[1], [Question(text, text) for text in PARTS], canvas="shared")
    assert readers[0].asked == readers[1].asked
    assert [part.question for part in trace.parts] == PARTS
    for part, other in zip(trace.parts, alone, strict=True):
        assert part.answer == other.answer and torch.equal(part.shown, other.shown)
        assert [step.selection.index.tolist() for step in part.steps] == [
            step.selection.index.tolist() for step in other.steps
        ]
    assert trace.cost.prefill_tok == sum(each.cost.prefill_tok for each in alone)
    assert trace.cost.encoder_patches == sum(each.cost.encoder_patches for each in alone)
    assert trace.cost.visual_tok == 20 + 3 * 20
    assert [len(part.steps) for part in trace.parts] == [1, 3], "who is sure of its part stops"
    assert (trace.answer.text, trace.answer.confidence) == ("signed, total?", 0.1)
    reasons = [step.gaze.reason.rpartition(", ")[2] for step in trace.steps]
    assert reasons == ["part 1 of 2", "part 2 of 2", "part 2 of 2", "part 2 of 2"]


def test_votes_count_for_each_part_by_itself(engine: HFEngine, picture: Picture) -> None:
    """Of one part the first look is surest, of the other the last: each keeps its own."""
    sure = lambda question, tok: max(0.01, 0.6 - tok / 1000 if "total" in question else tok / 1000)  # noqa: E731
    (trace,) = looked(engine, picture, Script(sure), [TWO], question_parts="apart", integrate="confident")
    first, last = trace.parts
    assert first.answer.visual_tok == max(step.answer.visual_tok for step in first.steps)
    assert last.answer.visual_tok == min(step.answer.visual_tok for step in last.steps)
    assert trace.answer.confidence == min(first.answer.confidence, last.answer.confidence)


def test_what_is_shown_of_it(engine: HFEngine, picture: Picture) -> None:
    chosen = Episode(sampler="full", question_parts="apart")
    seen = see(chosen, engine, picture, [TWO])
    (trace,) = run(episodes(chosen, seen), Script(lambda question, tok: 0.0 if "total" in question else 0.75))
    view = TraceView.from_trace(trace, seen.grid)
    assert trace.answer.text == "signed, ?" and trace.answer.readable
    assert lines(view)[-3:-1] == ["'Who signed'  'signed'  0.75", "'what is the total?'  cannot read  0.00"]
    (row,) = scored_rows("page", seen, [TWO], [trace], chosen)
    first, second = row["parts"]
    box = first.pop("evidence_px")
    assert first == {"question": "Who signed", "answer": "signed", "confidence": 0.75} and len(box) == 4
    assert second == {"question": "what is the total?", "answer": "", "confidence": 0.0, "evidence_px": None}
    assert row["evidence_px"] == box, "the box around those of its parts"
    assert TraceView.from_row(row).parts == view.parts
    (whole,) = scored_rows("page", seen, [TWO], [trace.parts[0]], chosen)
    assert whole["parts"] is None


def test_a_part_of_which_a_model_says_nothing(engine: HFEngine, picture: Picture) -> None:
    """Without a token for "cannot read" an answer is empty, and is joined like one that could not be read."""
    seen = see(chosen := Episode(sampler="full", question_parts="apart"), engine, picture, [TWO])
    (trace,) = run(episodes(chosen, seen), Script(lambda question, tok: 0.75))
    first, second = trace.parts
    silent = replace(second, answer=replace(second.answer, text="", confidence=0.0, readable=True))
    whole, neither = joined(TWO, [first, silent]), joined(TWO, [silent, silent])
    assert isinstance(whole, Trace) and isinstance(neither, Trace)
    assert (whole.answer.text, whole.answer.confidence) == ("signed, ?", 0.0) and neither.answer.text == ""


def test_what_stays_whole_and_what_fails(engine: HFEngine) -> None:
    query = engine.query(TWO.text)
    assert [each.text for each, _ in split(TWO, query)] == PARTS
    tokens = torch.cat([part.tokens for _, part in split(TWO, query)])  # type: ignore[union-attr]
    assert len(tokens) < len(query.tokens) and (tokens[0] == query.tokens[0]).all()
    for question in (replace(TWO, choices=("yes", "no")), replace(TWO, pattern="[0-9]+")):
        assert split(question, query) == [(question, query)]
    one = Question("one", "Who signed?")
    assert split(one, engine.query(one.text))[0][0] == one
    error = DataError("wrong")
    assert split(TWO, error) == [(TWO, error)] and joined(TWO, [error]) is error


def test_a_checkpoint_says_whether_questions_are_asked_apart(
    engine: HFEngine, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself only what are questions of their own: "tax and service" may be one thing."""
    asked = [Question("a", "Who signed and what was paid?"), Question("b", "What is the tax and service charge?")]

    def num_parts(**settings: Any) -> list[int]:
        return [
            len(trace.parts) if isinstance(trace, Trace) else -1
            for trace in looked(engine, picture, Script(lambda question, tok: 0.9), asked, **settings)
        ]

    assert num_parts() == [0, 0], "this checkpoint's card says nothing"
    monkeypatch.setattr(engine.family, "question_parts", "apart")
    assert num_parts() == [2, 0]
    assert num_parts(question_parts="apart") == [2, 2]
    assert num_parts(question_parts="together") == [0, 0]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("What is the date and what is the total?", True),
        ("Who signed? When was it paid?", True),
        ("In which city, and how much?", True),
        ("What is the date and the total?", False),
        ("What stands after 'Terms and conditions'?", False),
        ("Name the firm and what it sells", False),
        ("Whatever is left and whoever paid", False),
    ],
)
def test_what_is_a_question_by_itself(text: str, wanted: bool) -> None:
    texts = texts_of(text)
    assert (len(texts) > 1 and are_questions(texts)) == wanted


def test_a_part_that_fails_costs_its_question_only(engine: HFEngine, picture: Picture) -> None:
    asked = [Question("a", "Who signed and what was Lost"), Question("b", "When and where?")]
    failed, read = looked(engine, picture, Script(lambda question, tok: 0.9), asked, question_parts="apart")
    assert isinstance(failed, DataError) and read.answer.text == "When, where?"


def test_twenty_pages_asked_for_two_things() -> None:
    """The bundled model says one thing when asked for two, and both where each is asked by itself; it knows which of
    them it misread."""
    data = SynthDoc(split="validation", page_px=512, num_pages=PAGES)
    found: dict[str, list[float]] = {"together": [], "apart": []}
    sure: dict[bool, list[float]] = {True: [], False: []}
    with saccade.load() as eye:
        for row in data.rows():
            sample = data.sample(row)
            first, second = max(
                combinations(sample.questions, 2),
                key=lambda pair: dist(*(each.metadata["key_box_uv"][:2] for each in pair)),
            )
            text = f"{first.text.rstrip('?')} and {second.text[0].lower()}{second.text[1:]}"
            (whole,) = eye.look_many(sample.picture, [text])
            (parted,) = eye.look_many(sample.picture, [text], question_parts="apart")
            found["together"].append(min(anls(whole.answer.text, each.answers) for each in (first, second)))
            scores = [anls(p.answer.text, each.answers) for p, each in zip(parted.parts, (first, second), strict=True)]
            found["apart"].append(min(scores))
            for part, score in zip(parted.parts, scores, strict=True):
                sure[score >= 0.5].append(part.answer.confidence)
    right = {way: sum(score >= 0.5 for score in scores) for way, scores in found.items()}
    assert right["together"] <= 2 and right["apart"] >= 15, right
    mean = {key: sum(values) / len(values) for key, values in sure.items() if values}
    assert mean[True] > mean.get(False, 0) + 0.2, mean
