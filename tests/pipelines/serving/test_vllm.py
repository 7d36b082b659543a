"""`saccade serve --engine vllm` as people start it: a real vLLM in a reader replica, against transformers."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.engines.conftest import needs_vllm
from tests.pipelines.serving.client import KNOBS, body, in_process, png
from tests.pipelines.serving.test_ray import Served

pytestmark = [needs_vllm, pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(600)]

ENGINE = ("--engine", "vllm", "--set", "engine.kv_gib=0.25", "--set", "engine.block_tok=32")


def requests() -> list[dict[str, Any]]:
    """Two questions about each of three pages."""
    pages = [png(seed=seed) for seed in range(3)]
    return [body(f"What is field {n}?", page, saccade=KNOBS, logprobs=True) for page in pages for n in range(2)]


def test_it_answers_as_transformers_does(qwen2_5_vl: Path) -> None:
    """Requests together: texts, kept tokens and log-probabilities alike; fixations come from vLLM's cache."""
    with in_process(qwen2_5_vl) as endpoint:
        expected = [endpoint.post(made).json() for made in requests()]
    served = Served(qwen2_5_vl, *ENGINE)
    try:
        served.wait()
        with ThreadPoolExecutor(6) as pool:
            responses = list(pool.map(served.post, requests()))
        again = served.post(requests()[0]).json()
    finally:
        written = served.stop()
    assert [response.status_code for response in responses] == [200] * 6, responses[0].text
    for response, own in zip(responses, expected, strict=True):
        made = response.json()
        assert facts_of(made) == facts_of(own)
        assert logprobs(made) == pytest.approx(logprobs(own), rel=1e-3)
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert served.process.returncode == 0 and "Traceback" not in written, written
    assert served.descendants("VLLM") == []


def facts_of(made: dict[str, Any]) -> Any:
    """The answer, and what each fixation kept."""
    return made["choices"][0]["message"]["content"], [fixation["kept"] for fixation in made["saccade"]["fixations"]]


def logprobs(made: dict[str, Any]) -> list[float]:
    return [token["logprob"] for token in made["choices"][0]["logprobs"]["content"]]
