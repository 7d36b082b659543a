"""Answers that must be one of a few: greedy among them, as sure as the model is of one among them."""

import asyncio

import pytest
import torch

from pipelines.execute.async_reader import Turns
from pipelines.runs import manifest
from saccade.config import Episode
from saccade.engines._constrained import Choices
from saccade.engines.hf import HFEngine
from saccade.episode import episodes, run, see
from saccade.errors import QuestionError
from saccade.picture import Picture
from saccade.types import Answer, Canvas, Part, Question, Trace
from tests import tiny

PAGE = Picture.open(tiny.page(112, 84, seed=1))
CHOICES = ("invoice", "in", "receipt", "credit note")


def canvas_of(engine: HFEngine) -> Canvas:
    (encoding,) = engine.encode([engine.prepare(PAGE)])
    return Canvas(encoding.grid.rows, encoding.grid.cols, (Part.of(encoding),))


def test_the_answer_is_one_of_the_choices(engine: HFEngine) -> None:
    canvas = canvas_of(engine)
    assert engine.read(canvas, "What is it?").text not in CHOICES  # a random model says anything
    answer = engine.choose(canvas, "What is it?", CHOICES)
    assert answer.text in CHOICES and 0 < answer.confidence < 1
    assert len(answer.logprobs) == len(answer.token_ids) + 1 and answer.attended
    assert engine.choose(canvas, "What is it?", ("receipt",)).text == "receipt"


def test_a_single_choice_is_certain(engine: HFEngine) -> None:
    answer = engine.choose(canvas_of(engine), "Total?", ("receipt",))
    assert sum(answer.logprobs[:-1]) == 0  # there was nothing to choose but how to end


def test_one_that_begins_another_can_be_either() -> None:
    logprobs = torch.tensor([-9.0, -1.0, -0.5, -2.0])
    guide = Choices([(3, 0), (3, 1, 0)])  # 0 ends an answer
    assert guide.among(logprobs, []).argmax() == 3  # the likelier 1 and 2 begin none
    after = guide.among(logprobs, [3])
    assert after.exp().sum() == pytest.approx(1) and (after[1] - after[0]).item() == pytest.approx(8)
    assert guide.among(logprobs, [3, 1]).tolist() == [0, float("-inf"), float("-inf"), float("-inf")]


def test_questions_with_choices_are_read_together(engine: HFEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    canvas = canvas_of(engine)
    asks = [(canvas, f"What is {n}?", choices) for n, choices in enumerate((CHOICES, ("yes", "no"), CHOICES[::-1]))]
    alone = [engine.choose(*ask) for ask in asks]
    together, read = [], engine._together
    monkeypatch.setattr(engine, "_together", lambda *some: together.append(len(some[1])) or read(*some))
    made = engine.choose_many([*asks, (canvas, "word " * 100_000, CHOICES)])
    assert together == [3] and isinstance(made.pop(), QuestionError)
    for one, other, (_, _, choices) in zip(alone, made, asks, strict=True):
        assert isinstance(other, Answer) and one.text == other.text and one.text in choices
        torch.testing.assert_close(torch.tensor(one.logprobs), torch.tensor(other.logprobs), rtol=1e-4, atol=1e-5)


def test_a_question_too_long_is_refused(engine: HFEngine) -> None:
    with pytest.raises(QuestionError, match="tokens"):
        engine.choose(canvas_of(engine), "word " * 100_000, CHOICES)


def test_an_episode_holds_to_the_choices_of_each_question(engine: HFEngine) -> None:
    settings = Episode(sampler="full", stop_at=2)
    asked = [Question("free", "What is it?"), Question("kind", "What is it?", choices=CHOICES)]
    asked += [Question("long", "word " * 100_000, choices=CHOICES)]
    free, kind, long = run(episodes(settings, see(settings, engine, PAGE, asked)), engine)
    assert isinstance(free, Trace) and isinstance(kind, Trace) and isinstance(long, QuestionError)
    assert free.answer.text == engine.read(canvas_of(engine), "What is it?").text
    assert kind.answer.text in CHOICES
    turns = Turns(engine)
    assert asyncio.run(turns.read(canvas_of(engine), "What is it?", CHOICES)).text == kind.answer.text
    turns.close()


def test_choices_travel_in_the_manifest() -> None:
    question = Question("kind", "What?", choices=CHOICES)
    assert manifest.questions_of(manifest.text_of([question])) == (question,)
    older = manifest.text_of([Question("q", "What?")]).replace(', "choices": []', "")
    assert "choices" not in older and manifest.questions_of(older) == (Question("q", "What?"),)
