"""What clients really send: their own server's message back, nulls, hints to caches, base64 of every kind, PDFs."""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage

from pipelines.serving.pictures import Sheet, collect, decode, fetched
from pipelines.serving.refusals import Refusal
from pipelines.serving.schema import Asked, parse
from pipelines.serving.settings import ServeConfig
from saccade.config import Episode
from saccade.errors import ConfigError
from tests.decoding.test_pages import SHEETS, file_of
from tests.pipelines.serving.client import InProcess, body, image, in_process, png, uri

FIRST = {"role": "user", "content": [image(png()), {"type": "text", "text": "What is the total?"}]}
AGAIN = {"role": "user", "content": "And the date?"}
SAID = ChatCompletionMessage(role="assistant", content="12.50").model_dump()


def sheet_of(urls: Sequence[str], config: ServeConfig, pages: str | None = None) -> Sheet:
    """The sheet of a request's images, as the endpoint makes it."""
    return collect(fetched(urls, config), config, pages)


def parsed(*messages: dict[str, Any], **more: Any) -> Asked:
    made = {**body(), "messages": list(messages), **more}
    return parse(json.dumps(made).encode(), "tiny", Episode(fixations=2))


def refused(*messages: dict[str, Any], **more: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parsed(*messages, **more)
    return caught.value


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (SAID, "12.50"),
        ({"role": "assistant", "content": None}, ""),
        ({"role": "assistant"}, ""),
        ({"role": "assistant", "content": None, "refusal": "I cannot read it."}, "I cannot read it."),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        ({"role": "assistant", "content": [{"type": "text", "text": "12.50", "annotations": []}]}, "12.50"),
        ({**SAID, "tool_calls": [], "function_call": None, "annotations": [{"type": "url_citation"}]}, "12.50"),
        ({**SAID, "provider_specific_fields": {"refusal": None}, "reasoning_content": None}, "12.50"),
        ({**SAID, "reasoning": "x", "thinking_blocks": [], "saccade": {"fixations": []}, "logprobs": None}, "12.50"),
    ],
    ids=range(9),
)
def test_an_answer_comes_back_in_the_next_turn(answer: dict[str, Any], said: str) -> None:
    asked = parsed(FIRST, answer, AGAIN)
    assert asked.question == "And the date?" and len(asked.urls) == 1
    assert ("assistant: " in asked.prompt) == bool(said) and said in asked.prompt


@pytest.mark.parametrize(
    "hints",
    [
        {"format": "image/png"},
        {"uuid": "abc"},
        {"cache_control": {"type": "ephemeral"}},
        {"detail": "low"},
        {"detail": "original"},
        {"detail": None, "mime_type": "image/png", "id": 1},
    ],
)
def test_hints_beside_an_image_change_nothing(hints: dict[str, Any]) -> None:
    plain = parsed(FIRST)
    inside = {"type": "image_url", "image_url": {"url": uri(png()), **hints}}
    text = {"type": "text", "text": "What is the total?", "cache_control": {"type": "ephemeral"}}
    assert parsed({"role": "user", "content": [inside, text], "cache_control": None, "name": None}) == plain
    if "detail" not in hints:
        beside = {"type": "image_url", "image_url": {"url": uri(png())}, **hints}
        assert parsed({"role": "user", "content": [beside, text], "id": "m1"}) == plain


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([FIRST, {**SAID, "tool_calls": [{"id": "x"}]}, AGAIN], "messages.1.tool_calls"),
        ([FIRST, {"role": "tool", "content": "x", "tool_call_id": "x"}, AGAIN], "messages.1.role"),
        ([{**FIRST, "max_pixels": 1000}], "messages.0.max_pixels"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri(png()), "max_pixels": 9}}]}],
         "messages.0.content.0.image_url.max_pixels"),
        ([{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}], "messages.0.content.0.file"),
        ([{"role": "user", "content": None}], "messages"),
    ],
)  # fmt: skip
def test_what_might_change_the_answer_is_refused(messages: list[dict[str, Any]], param: str) -> None:
    error = refused(*messages)
    assert error.status == 400 and (error.param or "").startswith(param)


@pytest.mark.parametrize("name", ["cache_salt", "priority", "request_id", "store", "metadata", "service_tier"])
def test_parameters_of_servers_and_proxies(name: str) -> None:
    assert parsed(FIRST, **{name: {} if name == "metadata" else 1}).question
    neutral = {"add_generation_prompt": True, "min_tokens": 0, "stop_token_ids": [], "continue_final_message": False}
    assert parsed(FIRST, **neutral, use_beam_search=False, stop=None, tools=None, logit_bias={}).question
    assert refused(FIRST, min_tokens=5).param == "min_tokens"


B64 = base64.b64encode(png()).decode()


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64," + base64.encodebytes(png()).decode(),
        "data:image/png;base64," + B64.replace("\n", ""),
        "data:image/png;base64,\r\n" + "\r\n".join(B64[at : at + 64] for at in range(0, len(B64), 64)) + "\r\n",
        "data:image/png;base64," + base64.urlsafe_b64encode(png()).decode(),
        "data:image/png;base64," + base64.urlsafe_b64encode(png()).decode().rstrip("="),
        "data:image/png;charset=utf-8;base64," + B64,
        "data:image/png;base64," + B64.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
        " data:image/png;base64, " + B64,
        B64,
    ],
    ids=range(9),
)
def test_base64_of_every_kind(url: str) -> None:
    assert decode(url) == png() and sheet_of([url], ServeConfig()).data == png()


def pdf(num_pages: int = 3) -> dict[str, Any]:
    data = base64.b64encode(file_of("PDF", SHEETS[:num_pages])).decode()
    file = {"filename": "scan.pdf", "file_data": f"data:application/pdf;base64,{data}"}
    return {"type": "file", "file": file}


def test_a_pdf_as_openai_sends_it_and_its_pages() -> None:
    message = {"role": "user", "content": [pdf(), {"type": "text", "text": "?"}]}
    for pages, boxes in ((None, 3), ("1,3", 2), ("2", 1), (2, 1), ("2-", 2)):
        asked = parsed(message, saccade={"pages": pages} if pages else {})
        sheet = sheet_of(asked.urls, ServeConfig(), asked.pages)
        assert len(sheet.boxes) == boxes
    assert sheet.data.shape[2] == 3  # type: ignore[union-attr]
    single = sheet_of(parsed(message, saccade={"pages": "3"}).urls, ServeConfig(), "3")
    assert single.data[20, 20].argmax() == 2  # type: ignore[union-attr,index]


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_pages_beyond_what_is_looked_at_together_are_named(kind: str) -> None:
    url = "data:;base64," + base64.b64encode(file_of(kind, [*SHEETS, *SHEETS])).decode()
    with pytest.raises(
        Refusal, match=r'the file has 6 pages; at most 4 are looked at together. Choose pages, as in "sac'
    ):
        sheet_of([url], ServeConfig())
    assert len(sheet_of([url], ServeConfig(), "1-4").boxes) == 4
    with pytest.raises(Refusal, match="the file has 6 pages; chosen are 9"):
        sheet_of([url], ServeConfig(), "9")
    with pytest.raises(Refusal, match="the file has 6 pages; 6-7 asks for page 7 as well"):
        sheet_of([url], ServeConfig(), "6-7")
    with pytest.raises(Refusal, match="the longest file has 6 pages; 1,7-8 asks for pages 7-8 as well"):
        sheet_of([url, uri(png())], ServeConfig(), "1,7-8")
    assert len(sheet_of([url], ServeConfig(pages="6-7")).boxes) == 1  # the server's own list is of any file
    with pytest.raises(Refusal, match="5 pages and images; at most 4"):
        sheet_of([url, uri(png())], ServeConfig(), "1-4")


def test_pages_of_requests_and_of_the_server() -> None:
    error = refused(FIRST, saccade={"pages": "x"})
    assert (error.status, error.param) == (400, "saccade.pages") and "write 1,3-5" in str(error)
    assert refused(FIRST, saccade={"pages": [1]}).param == "saccade.pages"
    assert ServeConfig(pages="1,3-5").pages == "1,3-5"
    with pytest.raises(ConfigError, match="pages = '0'"):
        ServeConfig(pages="0")


@pytest.fixture(scope="module")
def open_endpoint(qwen2_5_vl: Path) -> Iterator[InProcess]:
    """An endpoint that lets the pages of one origin ask."""
    with in_process(qwen2_5_vl, allow_origins=("https://app.test",)) as made:
        yield made


@pytest.mark.parametrize("path", ["/", "/health", "/healthz", "/v1/models", "/metrics", "/about"])
def test_get_and_head(open_endpoint: InProcess, path: str) -> None:
    head = open_endpoint.run(open_endpoint.client.head(path))
    got = open_endpoint.get(path)
    assert (head.status_code, got.status_code) == (200, 200)
    assert head.headers["content-type"] == got.headers["content-type"] and len(got.content) > 1


def preflight(endpoint: InProcess, origin: str, header: str = "authorization,content-type,x-stainless-os") -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": header}
    return endpoint.run(endpoint.client.options("/v1/chat/completions", headers=asked))


def test_pages_of_an_allowed_origin_may_ask(open_endpoint: InProcess) -> None:
    answer = preflight(open_endpoint, "https://app.test")
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://app.test"
    assert "x-stainless-os" in answer.headers["access-control-allow-headers"]
    reply = open_endpoint.post(body(), headers={"Origin": "https://app.test"})
    assert reply.status_code == 200 and reply.headers["access-control-allow-origin"] == "https://app.test"
    wrong = open_endpoint.post({"model": "other"}, headers={"Origin": "https://app.test"})
    assert wrong.status_code == 400 and wrong.headers["access-control-allow-origin"] == "https://app.test"


def test_pages_of_other_origins_may_not(open_endpoint: InProcess) -> None:
    assert preflight(open_endpoint, "https://evil.test").status_code == 400
    assert (
        "access-control-allow-origin"
        not in open_endpoint.get("/health", headers={"Origin": "https://evil.test"}).headers
    )


def test_without_allowed_origins_there_is_no_cors(qwen2_5_vl: Path) -> None:
    with in_process(qwen2_5_vl) as closed:
        assert preflight(closed, "https://app.test").status_code == 405
        assert "access-control-allow-origin" not in closed.get("/health", headers={"Origin": "https://x.test"}).headers


def test_two_turns_and_a_pdf_through_the_endpoint(open_endpoint: InProcess) -> None:
    first = open_endpoint.post(body()).json()["choices"][0]["message"]
    made = body()
    made["messages"] += [first, {"role": "user", "content": "And the date?"}]
    assert open_endpoint.post(made).status_code == 200
    made["messages"] = [{"role": "user", "content": [pdf(), {"type": "text", "text": "What?"}]}]
    assert open_endpoint.post({**made, "saccade": {"pages": "2"}}).status_code == 200
