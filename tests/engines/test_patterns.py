"""Answers held to a pattern: only where what was read freely does not match, and never what cannot be read."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipelines.execute.async_reader import Turns
from pipelines.runs import manifest
from saccade.annotation.patterns import matches, plain, why_not
from saccade.config import Episode
from saccade.engines._constrained import after, fits
from saccade.engines.hf import HFEngine
from saccade.episode import episodes, run, see
from saccade.errors import QuestionError
from saccade.types import Answer, Canvas, Question, Trace
from tests.engines.test_choices import PAGE, canvas_of

DATE, SHORT = r"\d{2}/\d{2}/\d{4}", r"[A-C]{3}"


def answered(text: str, readable: bool = True) -> Answer:
    return Answer(text, (-0.1,), 0.5, 3, 2, 5, 0.25, readable=readable)


@pytest.mark.parametrize("pattern", [SHORT, "^INV-[0-9]$", "(yes|no)", "\u00e9{2}", r"\$\d"])
def test_the_answer_matches(engine: HFEngine, pattern: str) -> None:
    answer = engine.match(canvas_of(engine), "What is it?", pattern)
    assert re.fullmatch(pattern, answer.text), answer.text
    assert 0 < answer.confidence <= 1 and len(answer.logprobs) == len(answer.token_ids) + 1 and answer.attended


def test_a_pattern_that_one_text_matches_leaves_nothing_to_choose(engine: HFEngine) -> None:
    answer = engine.match(canvas_of(engine), "What is it?", "x")
    assert answer.text == "x" and answer.logprobs == pytest.approx((0, 0))


def test_what_matches_or_cannot_be_read_stays(engine: HFEngine) -> None:
    assert fits(answered("01/02/2024"), DATE) and fits(answered("", readable=False), DATE)
    assert not fits(answered("1 February"), DATE)
    first, held = answered("1 February"), replace(answered("01/02/2024"), confidence=0.2)
    made = after(first, held, DATE)
    assert (made.text, made.confidence) == ("01/02/2024", 0.2)
    assert (made.prefill_tok, made.cached_tok, made.seconds) == (10, 4, 0.5)
    cut = after(first, answered("01/02"), DATE)
    assert cut.text == "1 February" and cut.prefill_tok == 10


def test_an_episode_holds_to_the_pattern_of_each_question(engine: HFEngine) -> None:
    settings = Episode(sampler="full", stop_at=2)
    free_text = engine.read(canvas_of(engine), "What is it?").text
    asked = [
        Question("free", "What is it?"),
        Question("fits", "What is it?", pattern="(?s).*"),
        Question("short", "What is it?", pattern=SHORT),
        Question("long", "word " * 100_000, pattern=SHORT),
    ]
    free, fitting, short, long = run(episodes(settings, see(settings, engine, PAGE, asked)), engine)
    assert isinstance(free, Trace) and isinstance(fitting, Trace) and isinstance(short, Trace)
    assert free.answer.text == fitting.answer.text == free_text and free.answer.confidence == fitting.answer.confidence
    assert re.fullmatch(SHORT, short.answer.text) and isinstance(long, QuestionError)
    assert short.cost.prefill_tok + short.cost.cached_tok > free.cost.prefill_tok + free.cost.cached_tok  # read twice
    turns = Turns(engine)
    assert asyncio.run(turns.read(canvas_of(engine), "What is it?", pattern=SHORT)).text == short.answer.text
    turns.close()


def test_a_concurrent_reader_is_held_as_well() -> None:
    class Concurrent:
        concurrent, together = True, 1

        def __init__(self, free: str) -> None:
            self.free = free

        async def aread(self, canvas: Canvas, question: str) -> Answer:
            return answered(self.free)

        async def amatch(self, canvas: Canvas, question: str, pattern: str) -> Answer:
            return answered("01/02/2024")

    read: Callable[[str], Answer] = lambda free: asyncio.run(  # noqa: E731
        Turns(Concurrent(free)).read(Canvas(1, 1, ()), "When?", pattern=DATE)  # type: ignore[arg-type]
    )
    assert read("soon").text == "01/02/2024" and read("03/04/2024").text == "03/04/2024"


def test_patterns_travel_in_the_manifest() -> None:
    question = Question("when", "When?", pattern=DATE)
    assert manifest.questions_of(manifest.text_of([question])) == (question,)
    older = manifest.text_of([Question("q", "What?")]).replace(', "pattern": null', "")
    assert "pattern" not in older and manifest.questions_of(older) == (Question("q", "What?"),)


def test_anchors_around_a_pattern_say_nothing_new() -> None:
    assert [plain(each) for each in ("^a$", "a", r"a\$", r"a\\$", "^$", "$", "")] == [
        "a",
        "a",
        r"a\$",
        r"a\\",
        "",
        "",
        "",
    ]
    assert matches("a b", " a \n b ") and not matches("a", "ab")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("(?=x)y", "look-around"), (r"(a)\1", "backreferences"), (r"\bx", "lookarounds"), (DATE, None)],
)
def test_what_no_answer_can_be_held_to_is_said(pattern: str, reason: str | None) -> None:
    found = why_not(pattern)
    assert found is None if reason is None else found is not None and reason in found and "\n" not in found
