"""Whatever a request holds, the answer is one of the promised statuses, in OpenAI's form, and soon."""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.serving.client import JSON, InProcess, body, in_process, png, uri

STATUSES = {200, 400, 404, 413, 422, 429}
AT_ONCE = 8
ANSWER_S = 20.0  # the slowest answer that is no hang, on a busy machine

NUMBERS = [0, 1, -1, 2, 3.5, 1e308, -1e308, 10**30, 10**400, 2**63, float("nan"), float("inf"), True]
TEXTS = [
    "", " ", "x", "What?", "\x00", "\ud800", "é" * 50, "<|image_pad|>", "<|im_end|>", "𝔘" * 30, "a" * 5000, "../..",
    "data:", "data:image/png;base64,", "data:image/png;base64,AAA", "http://127.0.0.1/x", "https://[::1", "file:///x",
    "hybrid", "topk:1e309", "query:-1", "os.path", "user", "tool", "text", "image_url", "nano", "\u202e", "NaN",
]  # fmt: skip
KEYS = [
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "stop", "stream", "stream_options",
    "logprobs", "top_logprobs", "n", "tools", "response_format", "seed", "saccade", "nonsense", "", "logit_bias",
]  # fmt: skip
KNOBS = [
    "sampler", "scorer", "planner", "budget", "fixations", "tokens", "glimpse", "canvas", "canvas_cap", "integrate",
    "stop_at", "reread", "trace", "importance", "nonsense",
]  # fmt: skip
WORTH: list[tuple[str, Any]] = [  # knobs that are right, or nearly
    *(("sampler", name) for name in ("cortical", "random", "logpolar", "resize", "full", "topk", "uniform")),
    ("sampler", {"name": "hybrid", "ratio": 1}),
    ("sampler", {"name": "logpolar", "num_rho": 900}),
    ("planner", "uncertainty"),
    ("planner", {"name": "saliency"}),
    *(("scorer", name) for name in ("edges", "norm,variance", "received:2", "query")),
    ("scorer", [{"name": "edges", "method": "canny", "canny_low": 1e300}]),
    *(("tokens", number) for number in (1, 10**30)),
    ("budget", {"name": "fixed", "tokens": 3}),
    ("fixations", 64),
    ("glimpse", 10**12),
    ("canvas", "shared"),
    ("canvas_cap", 1),
    ("integrate", "weighted"),
    ("stop_at", 0),
    ("reread", 4),
    ("trace", True),
]


def junk(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON value, and some that are none."""
    kind = rng.randrange(8 if depth < 4 else 5)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind < 4:
        return rng.choice(TEXTS)
    if kind == 4:
        return None
    if kind == 5:
        return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return {rng.choice(KEYS + KNOBS): junk(rng, depth + 1) for _ in range(rng.randrange(4))}
    value: Any = rng.choice(TEXTS)
    for _ in range(rng.choice([3, 50, 300])):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def spoiled(rng: random.Random, data: bytes) -> bytes:
    """An image with some bytes wrong, or missing."""
    if rng.random() < 0.5:
        return data[: rng.randrange(len(data))]
    wrong = bytearray(data)
    for _ in range(rng.randrange(1, 20)):
        wrong[rng.randrange(len(wrong))] = rng.randrange(256)
    return bytes(wrong)


def replaced(rng: random.Random, value: Any) -> Any:
    """The same value with one place of it, anywhere, made junk."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        return {**value, key: replaced(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        return [*value[:place], replaced(rng, value[place]), *value[place + 1 :]]
    return junk(rng)


def case(number: int) -> bytes:
    """The bytes of one request, the same for a number every time."""
    rng = random.Random(number)
    made: Any = body(rng.choice(TEXTS), png(56, 84, seed=number % 5), saccade=dict([rng.choice(WORTH)]))
    kind = number % 8
    if kind == 0:
        made = junk(rng)
    elif kind in (1, 2):
        made = replaced(rng, made)
    elif kind == 3:
        made[rng.choice(KEYS)] = junk(rng)
    elif kind == 4:
        made["saccade"] = {rng.choice(KNOBS): junk(rng) for _ in range(rng.randrange(1, 4))}
    elif kind == 5:
        made["messages"][0]["content"][0]["image_url"]["url"] = uri(spoiled(rng, png(56, 84)))
    elif kind == 6:
        url = uri(png(56, 84))
        made["messages"][0]["content"][0]["image_url"]["url"] = url[: rng.randrange(len(url))]
    text = json.dumps(made)
    if kind == 7:
        text = text[: rng.randrange(len(text))] + rng.choice(["", "}", "]", "\x00", '"', "\\u"])
    data = text.encode("utf-8", "surrogatepass")
    return spoiled(rng, data) if rng.random() < 0.05 else data


@pytest.fixture(scope="module")
def endpoint(qwen2_5_vl: Path) -> Iterator[InProcess]:
    with in_process(qwen2_5_vl, max_request_bytes=100_000, max_image_px=200_000) as made:
        yield made


def fuzz(endpoint: InProcess, numbers: range) -> dict[int, int]:
    """Sends the cases, several at once; how many had each status."""
    found: dict[int, int] = {}

    async def one(number: int) -> None:
        data = case(number)
        sent = endpoint.client.post("/v1/chat/completions", content=data, headers=JSON)
        response = await asyncio.wait_for(sent, ANSWER_S)
        assert response.status_code in STATUSES, (number, response.status_code, response.text[:500], data[:500])
        if response.status_code == 200:
            streamed = response.headers["content-type"].startswith("text/event-stream")
            assert "error" not in response.text.partition('"saccade"')[0][:300] or streamed
            assert not streamed or response.text.endswith("data: [DONE]\n\n")
        else:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}
            assert len(response.text) < 5000
        found[response.status_code] = found.get(response.status_code, 0) + 1

    async def some(offset: int) -> None:
        for number in numbers[offset::AT_ONCE]:
            await one(number)

    async def everything() -> None:
        await asyncio.gather(*(some(offset) for offset in range(AT_ONCE)))

    endpoint.run(everything(), timeout_s=3600)
    return found


def test_a_few_hundred_bad_requests(endpoint: InProcess) -> None:
    found = fuzz(endpoint, range(400))
    assert sum(found.values()) == 400 and {200, 400, 422} <= set(found), found
    assert endpoint.post(body()).status_code == 200, "and it goes on answering"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_bad_requests(endpoint: InProcess) -> None:
    found = fuzz(endpoint, range(1000, 11_000))
    assert sum(found.values()) == 10_000, found
    assert endpoint.looker.looking == endpoint.looker.waiting == 0
    assert endpoint.post(body()).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/v1/models", "/v1/models/%00", "/v1/models/" + "a" * 3000, "/sample", "//", "/%ff"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "HEAD"])
def test_any_path_and_method(endpoint: InProcess, path: str, method: str) -> None:
    response = endpoint.run(endpoint.client.request(method, path))
    assert response.status_code in (200, 404, 405)
    if response.status_code != 200 and method != "HEAD":
        assert response.json()["error"]["code"]
