"""vLLM held to choices by its structured output, against transformers: the same choice, as surely."""

import asyncio

import pytest
import torch

from saccade.types import Part
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
        assert both.vllm.read(canvas, "What is it?").text not in CHOICES  # it is free again
