"""vLLM held to choices and patterns by its structured output, against transformers: the same answer, as surely."""

import asyncio
import re

import pytest
import torch

from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.types import Answer, Part
from tests import tiny
from tests.engines.conftest import canvas_of, needs_vllm, pair

pytestmark = [needs_vllm, pytest.mark.timeout(600)]
CHOICES = ("invoice", "in", "receipt", "credit note")


def test_the_same_choice_as_transformers(tmp_path_factory: pytest.TempPathFactory) -> None:
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
