"""vLLM held to choices and patterns by its structured output, against transformers: the same answer, as surely."""

import asyncio
import re
import time
from typing import Any

import pytest
import torch

from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.vllm import VLLMReader
from saccade.errors import QuestionError
from saccade.types import Answer, Part
from tests import tiny
from tests.engines.conftest import canvas_of, close, needs_vllm, pair

pytestmark = [needs_vllm, pytest.mark.timeout(600)]
CHOICES = ("invoice", "in", "receipt", "credit note")


class Together:
    """vLLM's requests, counted while they run."""

    def __init__(self, reader: VLLMReader) -> None:
        self.generate, self.running, self.most = reader._generate, 0, 0

    async def __call__(self, *args: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self.generate(*args)
        finally:
            self.running -= 1


def test_the_same_choice_as_transformers(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair(str(tiny.qwen2_5_vl(tmp_path_factory.mktemp("choices")))) as both:
        encoding = both.encode()
        canvas = canvas_of(encoding, Part.of(encoding))
        expected = both.hf.choose(canvas, "What is it?", CHOICES)
        answer = both.vllm.choose(canvas, "What is it?", CHOICES)
        assert answer.text == expected.text and answer.text in CHOICES
        torch.testing.assert_close(answer.logprobs, expected.logprobs, rtol=1e-3, atol=1e-3)
        assert asyncio.run(both.vllm.achoose(canvas, "What is it?", ("receipt",))).text == "receipt"
        for pattern in (r"[A-C]{3}", r"^INV-[0-9]$"):
            expected = both.hf.match(canvas, "What is it?", pattern)
            answer = asyncio.run(both.vllm.amatch(canvas, "What is it?", pattern))
            assert answer.text == expected.text and re.fullmatch(pattern, answer.text)
            torch.testing.assert_close(answer.logprobs, expected.logprobs, rtol=1e-3, atol=1e-3)
        assert both.vllm.read(canvas, "What is it?").text not in CHOICES  # it is free again
        asks = [(canvas, "What is it?", CHOICES), (canvas, "Who signed?", CHOICES), (canvas, " word" * 9999, CHOICES)]
        together = Together(both.vllm)
        monkeypatch.setattr(both.vllm, "_generate", together)
        *chosen, refused = both.vllm.choose_many(asks)
        assert [each.text for each in chosen] == [each.text for each in both.hf.choose_many(asks)[:2]]  # type: ignore[union-attr]
        assert isinstance(refused, QuestionError), "an error costs one question"
        started = time.perf_counter()
        *read, refused = both.vllm.read_many([ask[:2] for ask in asks])
        assert sum(each.seconds for each in read if isinstance(each, Answer)) <= time.perf_counter() - started
        for answer, (_, text, _) in zip(read, asks, strict=False):
            assert isinstance(answer, Answer)
            close(answer, both.hf.read(canvas, text))
        assert isinstance(refused, QuestionError) and together.most == 2, "vLLM has both at once"


@pytest.mark.slow
def test_nano_chooses_the_same_on_pages_that_it_reads() -> None:
    data = SynthDoc(page_px=448, num_pages=2, questions_per_page=4)
    with pair("nano", max_new_tok=16) as both:
        asked = 0
        for row in (row for row in data.rows() if isinstance(row, Row)):
            (encoding,) = both.hf.encode([both.hf.prepare(data.picture(row.source))])
            canvas = canvas_of(encoding, Part.of(encoding))
            answers = [question.answers[0] for question in row.questions if question.answers]
            asks = [(canvas, question.text, tuple(dict.fromkeys([*answers, "none"]))) for question in row.questions]
            for (_, text, choices), expected in zip(asks, both.hf.choose_many(asks), strict=True):
                answer = both.vllm.choose(canvas, text, choices)
                assert isinstance(expected, Answer) and answer.text == expected.text and answer.text in choices
                assert answer.confidence == pytest.approx(expected.confidence, abs=0.01)
                asked += 1
        assert asked == 8
