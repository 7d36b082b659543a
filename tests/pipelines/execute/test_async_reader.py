"""What a process asks of its one engine: together where it fits, alone where one breaks it, in turn otherwise."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from pipelines.execute.async_encoder import Passes, Threaded
from pipelines.execute.async_reader import Together, Turns
from saccade.config import Episode
from saccade.engines import Reader
from saccade.engines.hf import HFEngine
from saccade.episode import see
from saccade.errors import EngineDead, EngineError, QuestionError, SaccadeError
from saccade.families import Prepared
from saccade.picture import Picture
from saccade.types import Answer, Canvas, Encoding, Part, Question
from tests import tiny


def canvas(key: str) -> Canvas:
    """One token, known by its key."""
    return Canvas(1, 1, (Part(torch.zeros(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), key),))


class Slow(Reader):
    """Answers with the question, once `go` is set. A question "bad" fails, "breaks" breaks the call, "dead" ends it."""

    dtype, together = torch.float32, 3

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.go = threading.Event()

    def read(self, canvas: Canvas, question: str) -> Answer:
        raise NotImplementedError

    def read_many(self, asks: Sequence[tuple[Canvas, str]]) -> list[Answer | SaccadeError]:
        self.calls.append([question for _, question in asks])
        assert self.go.wait(30)
        if "dead" in self.calls[-1]:
            raise EngineDead("gone")
        if "breaks" in self.calls[-1]:
            raise RuntimeError("broken")
        failed = QuestionError("bad")
        return [failed if text == "bad" else Answer(text, (), 1.0, 1, 0, 0, 0.0) for _, text in asks]

    def forget(self) -> None:
        pass


def answers_of(reader: Slow, asks: Sequence[tuple[str, str]]) -> list[Any]:
    """The answers' texts, or what they raised; "first" is being read when the others come."""

    async def run() -> list[Any]:
        turns = Turns(reader, wait_s=0.0)
        first = asyncio.create_task(turns.read(canvas("first"), "first"))
        while not reader.calls:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(turns.read(canvas(key), question)) for key, question in asks]
        await asyncio.sleep(0)
        reader.go.set()
        made = await asyncio.gather(first, *others, return_exceptions=True)
        turns.close()
        return [answer.text if isinstance(answer, Answer) else answer for answer in made[1:]]

    return asyncio.run(run())


def test_what_waits_about_one_canvas_is_read_together_and_no_more_than_fits() -> None:
    reader = Slow()
    asks = [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4"), ("b", "5"), ("a", "6")]
    assert answers_of(reader, asks) == ["1", "2", "3", "4", "5", "6"], "each gets its own answer"
    assert reader.calls == [["first"], ["1", "3", "4"], ["2", "5"], ["6"]], "the longest waiting first"


def test_a_bad_question_costs_itself_only() -> None:
    reader = Slow()
    one, bad, two = answers_of(reader, [("a", "1"), ("a", "bad"), ("a", "2")])
    assert (one, two) == ("1", "2") and isinstance(bad, QuestionError)
    reader = Slow()
    one, broken, two = answers_of(reader, [("a", "1"), ("a", "breaks"), ("a", "2")])
    assert (one, two) == ("1", "2") and isinstance(broken, RuntimeError)
    assert reader.calls == [["first"], ["1", "breaks", "2"], ["1"], ["breaks"], ["2"]]


def test_a_dead_engine_is_not_asked_again() -> None:
    reader = Slow()
    assert [type(made) for made in answers_of(reader, [("a", "1"), ("a", "dead")])] == [EngineDead, EngineDead]
    assert reader.calls == [["first"], ["1", "dead"]]


class Panic(BaseException):
    """As Rust's code in tokenizers, safetensors and llguidance raises it: no Exception."""


def test_a_panic_is_told_to_whoever_waits() -> None:
    def panics(*args: object) -> list[str]:
        raise Panic("unreachable code")

    async def run() -> None:
        work = Together("work", panics, lambda _: 0, 1, 0.0)
        for ask in (lambda: work("a"), lambda: work.run(panics), lambda: work("b")):
            with pytest.raises(EngineError, match="Panic: unreachable code"):
                await asyncio.wait_for(ask(), 5)
        work.close()

    asyncio.run(run())


def test_what_was_given_up_is_not_done() -> None:
    done: list[str] = []

    async def run() -> None:
        work = Together("work", lambda items: [done.append(item) or item for item in items], lambda _: 0, 4, 0.0)
        given_up, kept = asyncio.create_task(work("given up")), asyncio.create_task(work("kept"))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await kept == "kept"
        work.close()

    asyncio.run(run())
    assert done == ["kept"]


def test_questions_that_come_together_are_read_together_on_an_idle_reader() -> None:
    reader = Slow()
    reader.go.set()

    async def run() -> None:
        turns = Turns(reader, wait_s=0.05)
        tasks = []
        for text in "123":
            tasks.append(asyncio.create_task(turns.read(canvas("a"), text)))
            await asyncio.sleep(0.001)
        assert [answer.text for answer in await asyncio.gather(*tasks)] == ["1", "2", "3"]
        turns.close()

    asyncio.run(run())
    assert reader.calls == [["1", "2", "3"]]


def test_pictures_of_several_threads_share_a_pass(engine: HFEngine) -> None:
    pictures = [Picture.open(tiny.page(140, 196, seed=seed)) for seed in range(3)]
    passes: list[int] = []

    class Counting(HFEngine):
        def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
            passes.append(len(batch))
            return super().encode(batch)

    async def run() -> list[Any]:
        shared = Passes(Counting(engine.family, engine.spec), most=3, wait_s=0.3)
        questions, settings = [Question("q", "What?"), Question("e", " ")], Episode(sampler="full")
        one = [asyncio.to_thread(see, settings, Threaded(shared, ["What?"]), each, questions) for each in pictures]
        made = await asyncio.gather(*one)
        shared.close()
        return list(made)

    made = asyncio.run(run())
    assert passes == [3]
    for picture, seen in zip(pictures, made, strict=True):
        alone = see(Episode(sampler="full"), engine, picture, [Question("q", "What?")])
        assert torch.allclose(seen.encoding.tokens, alone.encoding.tokens, atol=1e-5)
        assert torch.equal(seen.asked[0][1].tokens, alone.asked[0][1].tokens)  # type: ignore[union-attr]
        assert isinstance(seen.asked[1][1], QuestionError), "one that cannot be asked costs itself"


def test_a_picture_that_breaks_a_pass_costs_itself(engine: HFEngine) -> None:
    good = engine.prepare(Picture.open(tiny.page(140, 196)))

    class Breaking(HFEngine):
        def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
            if any(item.view == "broken" for item in batch):
                raise EngineError("broken")
            return super().encode(batch)

    async def run() -> list[Any]:
        shared = Passes(Breaking(engine.family, engine.spec), most=2, wait_s=0.1)
        items = [good, replace(good, view="broken")]
        made = await asyncio.gather(*map(shared.encode, items), return_exceptions=True)
        shared.close()
        return list(made)

    one, broken = asyncio.run(run())
    assert isinstance(one, Encoding) and isinstance(broken, EngineError)
