"""The endpoint without Ray: answers, traces, streams, limits, all in OpenAI's forms."""

import asyncio
import base64
import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.serving import routes
from pipelines.serving.settings import hashed
from saccade.api import Eye
from saccade.episode import AGAIN, episodes, run, see
from saccade.errors import EngineDead
from saccade.geometry.grid import level_sizes
from saccade.picture import Picture
from saccade.types import Answer, Canvas, Question, Trace
from tests.pipelines.serving.client import JSON, KNOBS, InProcess, body, image, in_process, png, settings, uri


@pytest.fixture(scope="module")
def endpoint(qwen2_5_vl: Path) -> Iterator[InProcess]:
    with in_process(qwen2_5_vl) as made:
        yield made


def error_of(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["message"])


@pytest.mark.parametrize("sampler", ["hybrid", "random", "full", "resize"])
@pytest.mark.parametrize(("glimpse", "reread"), [(0, 0.0), (6, 0.0), (6, 0.7)])
def test_a_trace_is_what_the_library_gives(endpoint: InProcess, sampler: str, glimpse: int, reread: float) -> None:
    knobs = {**KNOBS, "sampler": sampler, "glimpse": glimpse, "reread": reread}
    made = endpoint.post(body(saccade=knobs, logprobs=True)).json()
    chosen = {**{key: knobs[key] for key in ("sampler", "fixations", "stop_at", "glimpse", "reread")}}
    eye = Eye(endpoint.local.reader.engine, settings(Path("nano")).episode.with_settings(**chosen))
    trace = eye.look(png(), "What is field 1?")
    told = made["saccade"]
    assert made["choices"][0]["message"]["content"] == told["answer"] == trace.answer.text
    assert told["confidence"] == pytest.approx(trace.answer.confidence, rel=1e-5)
    assert len(told["fixations"]) == len(trace.steps)
    assert (told["fixations"][-1]["reason"] == AGAIN) == (reread > 0)
    for fixation, step in zip(told["fixations"], trace.steps, strict=True):
        assert fixation["kept"] == step.selection.index.tolist() and fixation["tokens"] == len(step.selection)
        assert fixation["levels"] is None and told["grid"]["levels"] is None
        assert fixation["gaze"] == pytest.approx(step.gaze.uv, abs=1e-4)
        assert (fixation["reason"], fixation["answer"]) == (step.gaze.reason, step.answer.text)
    tokens = made["choices"][0]["logprobs"]["content"]
    assert [each["logprob"] for each in tokens] == pytest.approx(trace.answer.logprobs[: len(tokens)], abs=1e-4)
    assert tokens or not trace.answer.token_ids
    assert told["cost"]["visual_tok"] == trace.cost.visual_tok
    assert told["cost"]["encoder_patches"] == trace.cost.encoder_patches
    usage = made["usage"]
    assert usage["prompt_tokens"] == trace.cost.prefill_tok + trace.cost.cached_tok
    assert usage["completion_tokens"] == sum(len(step.answer.logprobs) for step in trace.steps)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_question_for_two_things_is_read_part_by_part(endpoint: InProcess) -> None:
    """As in the library, after instructions too; the answer's tokens are those of its parts."""
    knobs, two = {**KNOBS, "question_parts": "apart", "sampler": "full"}, "What is field 1 and what is field 2?"
    reply = endpoint.post(body(two, saccade=knobs, logprobs=True)).json()
    eye = Eye(endpoint.local.reader.engine, settings(Path("nano")).episode.with_settings(sampler="full"))
    trace = eye.look_many(png(), [two], question_parts="apart")[0]
    texts = [part.answer.text for part in trace.parts]
    assert reply["choices"][0]["message"]["content"] == trace.answer.text == ", ".join(texts)
    assert [part["answer"] for part in reply["saccade"]["parts"]] == texts
    assert [part["question"] for part in reply["saccade"]["parts"]] == ["What is field 1", "what is field 2?"]
    tokens = reply["choices"][0]["logprobs"]["content"]
    assert [each["logprob"] for each in tokens] == pytest.approx(trace.answer.logprobs[: len(tokens)], abs=1e-4)
    asked = body(two, saccade=knobs)
    asked["messages"].insert(0, {"role": "system", "content": "Be brief."})
    told = endpoint.post(asked).json()["saccade"]["parts"]
    brief = eye.look_many(png(), ["Be brief.\n\nWhat is field 1", "Be brief.\n\nwhat is field 2?"])
    assert [part["answer"] for part in told] == [each.answer.text for each in brief]
    one = endpoint.post(body("What is field 1?", saccade=knobs)).json()["saccade"]
    assert one["parts"] is None


def test_coarse_tokens_are_told_with_their_levels(endpoint: InProcess) -> None:
    knobs = {**KNOBS, "sampler": "pyramid", "levels": 3, "tokens": 9, "importance": True}
    told = endpoint.post(body("What?", png(196, 252), saccade=knobs)).json()["saccade"]
    chosen = {key: knobs[key] for key in ("sampler", "fixations", "stop_at", "levels")}
    chosen["budget"] = {"name": "fixed", "tokens": 9}
    episode = settings(Path("nano")).episode.with_settings(**chosen)
    seen = see(episode, endpoint.local.reader.engine, Picture.open(png(196, 252)), [Question("a", "What?")])
    (trace,) = run(episodes(episode, seen), endpoint.local.reader.engine)
    assert isinstance(trace, Trace)
    for fixation, step in zip(told["fixations"], trace.steps, strict=True):
        assert fixation["levels"] == seen.grid.level[step.selection.index].tolist()
    assert any(any(fixation["levels"]) for fixation in told["fixations"])
    rows, cols = told["grid"]["rows"], told["grid"]["cols"]
    sizes = [(level["rows"], level["cols"]) for level in told["grid"]["levels"]]
    assert sizes == list(level_sizes(seen.grid)) and len(sizes) == 2 and sizes[0] < (rows, cols)
    assert len(base64.b64decode(told["fixations"][0]["importance"])) == rows * cols


@pytest.mark.parametrize("stop_at", [0.0, 2.0])
def test_who_is_sure_of_the_glimpse_pays_for_nothing_else(endpoint: InProcess, stop_at: float) -> None:
    """Others pay for the page as well: it is encoded when they are unsure, not before."""
    before = len(endpoint.local.encoder.cache.kept)
    knobs = {**KNOBS, "sampler": "topk", "glimpse": 6, "stop_at": stop_at}
    made = endpoint.post(body("What is field 1?", png(seed=41 + int(stop_at)), saccade=knobs)).json()["saccade"]
    sure, num_glimpse = stop_at == 0, made["fixations"][0]["visual_tok"]
    encoded = len(endpoint.local.encoder.cache.kept) - before
    assert (encoded, made["cost"]["visual_tok"] == num_glimpse, len(made["fixations"]) == 1) == (2 - sure, sure, sure)
    assert made["cost"]["encoder_patches"] == 4 * (num_glimpse + (not sure) * made["cost"]["image_tok"])


def test_a_stream_tells_each_fixation_and_ends_with_the_trace(endpoint: InProcess) -> None:
    asked = body(saccade={**KNOBS, "importance": True})
    whole = endpoint.post(asked).json()
    chunks = endpoint.stream(asked)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    told = [chunk["saccade"]["fixation"] for chunk in chunks if "fixation" in chunk.get("saccade", {})]
    assert [fixation["number"] for fixation in told] == [1, 2]
    final = chunks[-1]["saccade"]
    for fixation in (*told, *final["fixations"], *whole["saccade"]["fixations"]):
        fixation.pop("seconds"), fixation.pop("cached_tok"), fixation.pop("prefill_tok")
    assert told == final["fixations"] == whole["saccade"]["fixations"]
    levels = np.frombuffer(base64.b64decode(told[0]["importance"]), np.uint8)
    assert len(levels) == final["grid"]["rows"] * final["grid"]["cols"] and levels.max() == 255
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_usage_in_a_stream_comes_last_when_asked_for(endpoint: InProcess) -> None:
    asked = body(stream_options={"include_usage": True}, saccade=KNOBS)
    chunks = endpoint.stream(asked)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] > 0 and "saccade" in chunks[-1]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert all("saccade" not in chunk and "usage" not in chunk for chunk in endpoint.stream(body()))


def test_logprobs_are_those_of_the_answers_tokens(endpoint: InProcess) -> None:
    choice = endpoint.post(body(logprobs=True)).json()["choices"][0]
    tokens = choice["logprobs"]["content"]
    assert 1 <= len(tokens) <= 4 and all(-math.inf < token["logprob"] <= 0 for token in tokens)
    data = b"".join(bytes(token["bytes"]) for token in tokens)
    assert data.decode("utf-8", "replace").strip() == choice["message"]["content"]
    assert endpoint.post(body()).json()["choices"][0]["logprobs"] is None


def test_max_tokens_and_stop_cut_the_answer(endpoint: InProcess) -> None:
    whole = endpoint.post(body(logprobs=True)).json()["choices"][0]
    cut = endpoint.post(body(logprobs=True, max_tokens=2)).json()["choices"][0]
    assert cut["finish_reason"] == "length"
    assert cut["logprobs"]["content"] == whole["logprobs"]["content"][:2]
    text = whole["message"]["content"]
    stop = text[len(text) // 2]
    cut = endpoint.post(body(stop=[stop, "never"], logprobs=True)).json()["choices"][0]
    assert cut["message"]["content"] == text[: text.index(stop)] and cut["finish_reason"] == "stop"
    assert len(cut["logprobs"]["content"]) <= len(whole["logprobs"]["content"])


def test_a_system_prompt_reaches_the_reader(endpoint: InProcess) -> None:
    asked = body()
    asked["messages"].insert(0, {"role": "system", "content": "Say little, and in capital letters."})
    more = endpoint.post(asked).json()["usage"]["prompt_tokens"]
    assert more > endpoint.post(body()).json()["usage"]["prompt_tokens"] + 2 * 30


def test_several_images_are_one_sheet(endpoint: InProcess) -> None:
    told = endpoint.post(body("Which?", png(seed=1), png(seed=2), saccade=KNOBS)).json()["saccade"]
    (left, right) = told["images"]
    assert left[0] == 0 and left[2] < right[0] and right[2] == 1
    assert told["grid"]["width_px"] > told["grid"]["height_px"]
    assert "at most 4" in error_of(endpoint.post(body("Which?", *[png(seed=n) for n in range(5)])), 413)


def test_a_picture_is_encoded_once(endpoint: InProcess) -> None:
    costs = [endpoint.post(body(n, png(seed=77), saccade=KNOBS)).json()["saccade"]["cost"] for n in "ab"]
    assert [cost["cache_hit"] for cost in costs] == [False, True]
    assert costs[0]["encoder_patches"] == costs[1]["encoder_patches"], "a question costs the same, whoever paid before"


def test_what_was_encoded_otherwise_is_encoded_again(endpoint: InProcess) -> None:
    """Attention received is kept only where it was asked for."""
    hits = []
    for scorer in ("edges", "received", "edges", "received"):
        told = endpoint.post(body("a", png(seed=78), saccade={**KNOBS, "scorer": scorer})).json()["saccade"]
        hits.append(told["cost"]["cache_hit"])
    assert hits == [False, False, True, True]


def test_a_page_of_mixed_patches_is_known_again(endpoint: InProcess) -> None:
    page, knobs = png(392, 308, seed=79), {**KNOBS, "encoder": "mixed", "tokens": 100}
    first, again = (endpoint.post(body("a", page, saccade=knobs)).json()["saccade"] for _ in range(2))
    assert (first["cost"].pop("cache_hit"), again["cost"].pop("cache_hit")) == (False, True)
    assert first["answer"] == again["answer"] and first["grid"] == again["grid"]


def test_the_same_picture_at_once_is_one_pass(qwen2_5_vl: Path) -> None:
    with in_process(qwen2_5_vl) as endpoint:
        passes: list[int] = []
        engine = endpoint.local.encoder.engine
        encode = engine.encode
        engine.encode = lambda batch: (passes.append(len(batch)), time.sleep(0.2), encode(batch))[2]

        async def all_at_once() -> list[Any]:
            asked = [endpoint.client.post("/v1/chat/completions", json=body(f"Field {n}?")) for n in range(6)]
            return await asyncio.gather(*asked)

        assert [response.status_code for response in endpoint.run(all_at_once())] == [200] * 6
        assert passes == [1]


def test_the_cache_is_bounded_by_its_bytes(qwen2_5_vl: Path) -> None:
    with in_process(qwen2_5_vl, cache_bytes=40_000) as endpoint:
        for seed in range(4):
            assert endpoint.post(body("?", png(seed=seed))).status_code == 200
        cache = endpoint.local.encoder.cache
        assert 0 < cache.size_bytes <= 40_000 and len(cache.kept) < 4
        assert f"saccade_encoding_cache_bytes {float(cache.size_bytes)}" in endpoint.get("/metrics").text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no image at all", "not an image"),
        (png()[:200], ""),
        (png(5600, 14), "Crop it"),
    ],
)
def test_an_image_that_cannot_be_read(endpoint: InProcess, data: bytes, message: str) -> None:
    assert message in error_of(endpoint.post(body("What?", data)), 422)
    assert message in error_of(endpoint.post(body("What?", data, stream=True)), 422), "a status, not a broken stream"


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,!!!", "data:image/png,xx", "ftp://x/y.png", "", "data:", uri(b"")]
)
def test_a_url_that_is_none(endpoint: InProcess, url: str) -> None:
    asked = body()
    asked["messages"][0]["content"][0]["image_url"]["url"] = url
    error_of(endpoint.post(asked), 400)


def test_limits(qwen2_5_vl: Path) -> None:
    with in_process(qwen2_5_vl, max_request_bytes=200_000, max_image_px=20_000) as endpoint:
        assert "more than 200,000 bytes" in error_of(endpoint.post(body("x" * 200_000)), 413)
        assert "at most 20,000 pixels" in error_of(endpoint.post(body()), 413)
        assert "Content-Type" in error_of(endpoint.post(content=b"{}"), 400)
        assert "not JSON" in error_of(endpoint.post(content=b"{", headers=JSON), 400)


def test_a_question_longer_than_the_model_takes(endpoint: InProcess) -> None:
    assert "the model takes 4096" in error_of(endpoint.post(body("word " * 2000)), 400)
    asked, system = body("total?"), {"role": "system", "content": "word " * 500_000}
    asked["messages"].insert(0, system)  # which only the reader is given
    for endless in (body("word " * 500_000), asked):
        assert "characters long; the model takes 4096" in error_of(endpoint.post(endless), 400)


def test_keys(qwen2_5_vl: Path) -> None:
    with in_process(qwen2_5_vl, key_hashes=(hashed("open sesame"),)) as endpoint:
        assert "no API key" in error_of(endpoint.post(body()), 401)
        assert "wrong API key" in error_of(endpoint.get("/v1/models", headers={"authorization": "Bearer x"}), 401)
        assert endpoint.get("/metrics").status_code == 401
        known = {"authorization": "Bearer open sesame"}
        assert endpoint.post(body(), headers=known).status_code == 200
        assert [endpoint.get(path).status_code for path in ("/", "/healthz")] == [200, 200]


class Slow:
    """Backends whose reader takes its time, or dies."""

    def __init__(self, inner: Any, seconds: float, error: Exception | None = None) -> None:
        self.inner, self.seconds, self.error, self.begun = inner, seconds, error, 0

    async def see(self, *args: Any) -> Any:
        return await self.inner.see(*args)

    async def read(self, *args: Any) -> Any:
        self.begun += 1
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return await self.inner.read(*args)


def test_a_full_queue_is_429_and_a_closing_server_503(endpoint: InProcess, qwen2_5_vl: Path) -> None:
    slow = Slow(endpoint.local, 0.3)
    with in_process(qwen2_5_vl, slow, max_episodes=1, max_queue=2, drain_s=10) as busy:

        async def scene() -> list[Any]:
            asked = [asyncio.ensure_future(busy.client.post("/v1/chat/completions", json=body())) for _ in range(6)]
            while sum(each.done() for each in asked) < 3:  # those that are refused
                await asyncio.sleep(0.01)
            drained = asyncio.ensure_future(busy.looker.drain())
            await asyncio.sleep(0.05)
            late = await busy.client.post("/v1/chat/completions", json=body())
            health = await busy.client.get("/healthz")
            return [*await asyncio.gather(*asked), late, health, await drained]

        *responses, late, health, left = busy.run(scene())
        assert sorted(response.status_code for response in responses) == [200] * 3 + [429] * 3
        refused = next(response for response in responses if response.status_code == 429)
        assert refused.headers["retry-after"] == "1" and "Ask again later" in error_of(refused, 429)
        assert "closing" in error_of(late, 503) and health.status_code == 503 and left == 0


def test_time_out_and_a_dead_engine_are_503(endpoint: InProcess, qwen2_5_vl: Path) -> None:
    with in_process(qwen2_5_vl, Slow(endpoint.local, 5.0), timeout_s=0.3) as late:
        assert "no answer in time" in error_of(late.post(body()), 503)
        assert "no answer in time" in error_of(late.post(body(stream=True)), 503)
        assert late.looker.looking == 0
    with in_process(qwen2_5_vl, Slow(endpoint.local, 0.0, EngineDead("gone"))) as dead:
        assert "restarted" in error_of(dead.post(body()), 503)
        assert 'saccade_requests_total{status="503"} 1.0' in dead.get("/metrics").text


def test_a_client_that_goes_away_frees_its_place_ends_its_work_and_is_counted(
    endpoint: InProcess, qwen2_5_vl: Path
) -> None:
    slow = Slow(endpoint.local, 0.3)
    with in_process(qwen2_5_vl, slow, max_episodes=1) as busy:

        async def scene() -> tuple[int, int, int]:
            asked = asyncio.ensure_future(
                busy.client.post("/v1/chat/completions", json=body(saccade={**KNOBS, "fixations": 9, "tokens": 2}))
            )
            waiting = asyncio.ensure_future(busy.client.post("/v1/chat/completions", json=body()))
            while not slow.begun:
                await asyncio.sleep(0.01)
            before = busy.looker.looking
            waiting.cancel()
            asked.cancel()
            await asyncio.sleep(0.7)  # two more reads, had they gone on
            return before, busy.looker.looking + busy.looker.waiting, slow.begun

        assert busy.run(scene()) == (1, 0, 1)
        metrics = busy.get("/metrics").text
        assert value(metrics, 'saccade_requests_total{status="499"}') == 2
        assert value(metrics, "saccade_request_seconds_count") == 2


async def sent(
    endpoint: InProcess, *messages: dict[str, Any], then: Any = None, length: bytes = b"9", pause_s: float = 0.0
) -> list[int]:
    """The statuses that the app answers to a request whose body comes in these messages; `then` is waited for."""
    left, statuses = list(messages), list[int]()

    async def receive() -> dict[str, Any]:
        if not left:
            await then
        await asyncio.sleep(pause_s)
        return left.pop(0)

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message["status"]) if "status" in message else None

    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    path = {"path": "/v1/chat/completions", "raw_path": b"", "query_string": b"", "root_path": "", "scheme": "http"}
    scope = {"type": "http", "method": "POST", "http_version": "1.1", "headers": headers, **path}
    await endpoint.front.app()(scope, receive, send)  # type: ignore[arg-type]
    return statuses


HALF = {"type": "http.request", "body": b'{"model":', "more_body": True}
LEFT = {"type": "http.disconnect"}


def test_a_client_that_goes_away_or_stalls_while_it_sends_is_no_fault_of_the_server(
    endpoint: InProcess, qwen2_5_vl: Path
) -> None:
    with in_process(qwen2_5_vl, endpoint.local, timeout_s=0.3) as closed:
        assert closed.run(sent(closed, HALF, LEFT)) == [499]
        assert closed.run(sent(closed, HALF, then=asyncio.sleep(5))) == [408]
        assert closed.run(sent(closed, HALF, LEFT, length="\u00b2".encode("latin-1"))) == [499]  # a digit to Python
        metrics = closed.get("/metrics").text
        assert value(metrics, 'saccade_requests_total{status="499"}') == 2 and 'status="500"' not in metrics


def test_no_more_requests_are_received_than_may_wait(endpoint: InProcess, qwen2_5_vl: Path) -> None:
    """Each may be of 32 MiB; those beyond are refused before their bodies are read."""
    with in_process(qwen2_5_vl, endpoint.local, max_episodes=1, max_queue=1) as busy:

        async def scene() -> list[list[int]]:
            let_go = asyncio.Event()
            slow = [asyncio.ensure_future(sent(busy, HALF, then=let_go.wait())) for _ in range(2)]
            await asyncio.sleep(0.05)
            refused = await sent(busy, HALF, LEFT)
            for each in slow:
                each.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
            return [refused, await sent(busy, HALF, LEFT)]

        assert busy.run(scene()) == [[429], [499]]


def test_a_request_that_stalls_gives_its_place_up_before_its_time_is_up(
    endpoint: InProcess, qwen2_5_vl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is slow does not: each piece of it begins the patience anew."""
    monkeypatch.setattr(routes, "STALL_S", 0.3)
    with in_process(qwen2_5_vl, endpoint.local, timeout_s=60) as closed:

        async def slowly() -> list[int]:
            data = json.dumps(body()).encode()
            pieces = [data[at : at + 1 + len(data) // 4] for at in range(0, len(data), 1 + len(data) // 4)]
            messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
            ends = [*messages, {"type": "http.request", "body": b"", "more_body": False}]
            return await sent(closed, *ends, length=str(len(data)).encode(), pause_s=0.15)

        began = time.monotonic()
        assert closed.run(sent(closed, HALF, then=asyncio.sleep(50))) == [408]
        assert time.monotonic() - began < 10 and closed.looker.taken == 0
        assert closed.run(slowly()) == [200]


@pytest.mark.parametrize("what", ["fetched", "collect"])
def test_images_that_come_or_open_slowly_hold_up_nothing_else(
    endpoint: InProcess, qwen2_5_vl: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """More of them than the event loop has threads for whatever blocks."""
    arrived, at_once = threading.Event(), getattr(routes, what)

    def slowly(images: Sequence[Any], *args: Any) -> Any:
        if len(images) == 2:
            arrived.wait(30)
        return at_once(images, *args)

    monkeypatch.setattr(routes, what, slowly)
    with in_process(qwen2_5_vl, endpoint.local, max_episodes=1, max_queue=63) as busy:

        async def scene() -> list[int]:
            two = body("What is field 1?", png(), png())
            slow = [asyncio.ensure_future(busy.client.post("/v1/chat/completions", json=two)) for _ in range(40)]
            while busy.looker.coming < 40:
                await asyncio.sleep(0.01)
            others = [busy.client.get("/sample")]
            others += [busy.client.post("/v1/chat/completions", json=body())] if what == "fetched" else []
            quick = await asyncio.wait_for(asyncio.gather(*others), 25)
            arrived.set()
            return [each.status_code for each in (*quick, *await asyncio.gather(*slow))]

        assert set(busy.run(scene())) == {200}


def test_a_request_is_counted_at_every_moment(endpoint: InProcess, qwen2_5_vl: Path) -> None:
    """Else one more is taken than there is room for, and a server that closes may cut it off."""
    with in_process(qwen2_5_vl, endpoint.local) as watched:

        async def scene() -> list[int]:
            asked = asyncio.ensure_future(watched.client.post("/v1/chat/completions", json=body()))
            taken = []
            while not asked.done():
                taken.append(watched.looker.taken)
                await asyncio.sleep(0)
            return taken

        taken = watched.run(scene())
        first = taken.index(1)
        last = len(taken) - taken[::-1].index(1)
        assert set(taken[first:last]) == {1}


def test_an_engine_that_reads_many_at_a_time_does(qwen2_5_vl: Path) -> None:
    with in_process(qwen2_5_vl, max_episodes=4) as endpoint:
        reader, together = endpoint.local.reader, [0, 0]

        async def aread(canvas: Canvas, question: str) -> Answer:
            together[0] += 1
            together[1] = max(together)
            await asyncio.sleep(0.1)
            together[0] -= 1
            return reader_read(canvas, question)

        reader_read = reader.engine.read
        reader.engine.aread, reader.engine.concurrent = aread, True

        async def scene() -> list[Any]:
            asked = [endpoint.client.post("/v1/chat/completions", json=body(f"{n}?")) for n in range(4)]
            return await asyncio.gather(*asked)

        assert [response.status_code for response in endpoint.run(scene())] == [200] * 4
        assert together[1] == 4


def test_models_paths_and_metrics(endpoint: InProcess) -> None:
    (listed,) = endpoint.get("/v1/models").json()["data"]
    assert listed["id"] == "tiny" and listed["object"] == "model" and listed["saccade"]["defaults"]["fixations"] == 2
    assert endpoint.get("/v1/models/tiny").json() == listed
    assert "no model 'x/y'" in error_of(endpoint.get("/v1/models/x/y"), 404)
    assert "Not Found" in error_of(endpoint.get("/v1/nothing"), 404)
    refused = endpoint.get("/v1/chat/completions")
    assert "Method Not Allowed" in error_of(refused, 405) and refused.headers["allow"] == "POST"
    assert endpoint.get("/healthz").json()["status"] == "ok"
    before = endpoint.get("/metrics").text
    endpoint.post(body(saccade=KNOBS))
    after = endpoint.get("/metrics").text
    for name, grown in [("saccade_fixations_total", 2), ("saccade_visual_tokens_kept_total", 24)]:
        assert value(after, name) - value(before, name) == grown
    assert value(after, "saccade_visual_tokens_saved_total") > value(before, "saccade_visual_tokens_saved_total")
    assert value(after, 'saccade_requests_total{status="200"}') - 1 == value(
        before, 'saccade_requests_total{status="200"}'
    )
    assert 'saccade_stage_seconds_bucket{le="1.0",stage="read"}' in after
    assert 'saccade_encoding_cache_total{result="hit"}' in after


def value(metrics: str, name: str) -> float:
    """A metric's number; 0 before its first."""
    found = [line for line in metrics.splitlines() if line.startswith(name + " ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def test_images_may_be_in_earlier_turns(endpoint: InProcess) -> None:
    made = body()
    made["messages"] = [
        {"role": "user", "content": [image(png()), {"type": "text", "text": "Total?"}]},
        {"role": "assistant", "content": "12.50"},
        {"role": "user", "content": "And the date?"},
    ]
    assert endpoint.post(made).status_code == 200
