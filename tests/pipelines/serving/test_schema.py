"""What a request may say: joined texts, refused parameters, knobs that are checked before anything runs."""

import json
from typing import Any

import pytest

from pipelines.serving.refusals import Refusal
from pipelines.serving.schema import Asked, parse
from saccade.config import Episode
from tests.pipelines.serving.client import body, image, png

SETTINGS = Episode(fixations=2)


def parsed(made: dict[str, Any]) -> Asked:
    return parse(json.dumps(made).encode(), "tiny", SETTINGS)


def refused(made: dict[str, Any] | bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse(made if isinstance(made, bytes) else json.dumps(made).encode(), "tiny", SETTINGS)
    return caught.value


def test_texts_are_joined_and_the_last_user_message_decides_where_to_look() -> None:
    made = body("And the date?")
    made["messages"] = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": [image(png()), {"type": "text", "text": "Total?"}]},
        {"role": "assistant", "content": "12.50"},
        {"role": "user", "content": "And the date?"},
    ]
    asked = parsed(made)
    assert asked.question == "And the date?"
    assert asked.prompt == "Answer in one word.\n\nuser: Total?\nassistant: 12.50\n\nAnd the date?"
    assert len(asked.urls) == 1


def test_a_lone_question_is_asked_as_it_is() -> None:
    asked = parsed(body("What?"))
    assert asked.prompt == asked.question == "What?" and asked.episode is SETTINGS


def test_knobs_go_over_the_servers_settings() -> None:
    asked = parsed(body(saccade={"tokens": 50, "planner": "saliency", "trace": True}))
    assert (asked.episode.fixations, asked.episode.planner, asked.trace, asked.importance) == (
        2,
        "saliency",
        True,
        False,
    )
    assert asked.episode.budget == {"name": "fixed", "tokens": 50}
    assert parsed(body(saccade={"tokens": "auto"})).episode.budget == "adaptive"
    assert parsed(body(saccade={"tokens": "large"})).episode.strategies.budget.most_tok == 421


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"fixations": 0}, "fixations = 0 leaves nothing to read"),
        ({"fixation": 1}, "Settings: effort="),
        ({"planner": "nope"}, "no planner named 'nope'"),
        ({"planner": "os.path"}, "is not one of saccade's own"),
        ({"scorer": "query:0.5,antigravity.x"}, "is not one of saccade's own"),
        ({"scorer": [{"name": "a.b"}]}, "is not one of saccade's own"),
        ({"levels": 2, "pyramid": "/etc"}, "saccade.pyramid: pyramid: files are the server's own to name"),
        ({"scorer": [{"name": "late", "head": "/etc"}]}, "saccade.scorer: head: files are the server's own to name"),
        ({"scorer": "attention", "glimpse": 16}, "only the engine hf gives it"),
        ({"sampler": {"name": "logpolar", "num_rho": 10**9}}, "num_rho is 1000000000; a request may say at most 1024"),
        ({"trace": 1}, "saccade.trace must be true or false"),
        ({"tokens": 3, "budget": "fixed"}, "give tokens or budget"),
        ({"scorer": [3]}, "saccade"),
    ],
)
def test_wrong_knobs(knobs: dict[str, Any], message: str) -> None:
    error = refused(body(saccade=knobs))
    assert error.status == 400 and message in str(error)


@pytest.mark.parametrize(
    ("more", "status", "param", "message"),
    [
        ({"temperature": 0.7}, 400, "temperature", "answers are greedy"),
        ({"n": 2}, 400, "n", "answers are greedy"),
        ({"n": True}, 400, "n", "answers are greedy"),
        ({"top_logprobs": 5}, 400, "top_logprobs", "only the chosen token's"),
        ({"tools": [{}]}, 400, "tools", "not supported"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format", "not supported"),
        ({"nonsense": 1}, 400, "nonsense", "no parameter 'nonsense'"),
        ({"max_tokens": 0}, 400, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": "3"}, 400, "max_tokens", "valid integer"),
        ({"stop": ""}, 400, "stop", "empty string"),
        ({"model": "gpt-4o"}, 404, "model", "no model 'gpt-4o'; this server has 'tiny'"),
        ({"messages": []}, 400, "messages", "at least 1"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role", "Input should be"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "messages", "must be the user's"),
        ({"messages": [{"role": "user", "content": "x"}]}, 400, "messages", "no image"),
        ({"messages": [{"role": "user", "content": [image(png())]}]}, 400, "messages", "has no text"),
    ],
)
def test_what_is_not_supported_is_said(more: dict[str, Any], status: int, param: str, message: str) -> None:
    error = refused({**body(), **more})
    assert (error.status, error.param) == (status, param) and message in str(error)


@pytest.mark.parametrize(
    ("content", "param", "message"),
    [
        ([{"type": "image_url", "image_url": "data:xx"}], "messages.0.content.0.image_url", "valid dictionary"),
        ([{"type": "input_audio"}], "messages.0.content.0", "does not match any of the expected tags"),
        ([{"type": "text", "text": 3}], "messages.0.content.0.text", "valid string"),
        ([{"type": "image_url", "image_url": {}}], "messages.0.content.0.image_url.url", "Field required"),
        (3, "messages.0.content", "valid"),
    ],
)
def test_a_wrong_part_is_pointed_at(content: Any, param: str, message: str) -> None:
    error = refused({**body(), "messages": [{"role": "user", "content": content}]})
    assert error.param == param and message in str(error)


def test_what_changes_nothing_is_let_through() -> None:
    neutral = {"temperature": 0.0, "n": 1, "seed": 7, "top_p": 0.9, "user": "me", "tools": [], "logit_bias": None}
    assert parsed(body(**neutral)).prompt == "What is field 1?"
    told = {"include_usage": True, "continuous_usage_stats": True}  # as guidellm asks
    assert parsed(body(stream=True, stream_options=told)).include_usage


def test_a_stop_string_may_be_long_but_there_are_not_many() -> None:
    assert parsed(body(stop="x" * 65)).stop == ("x" * 65,)
    assert parsed(body(stop=["x" * 65, "y"])).stop == ("x" * 65, "y")
    many = refused(body(stop=["x"] * 65))
    assert many.param == "stop" and "at most 64 items" in str(many)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"model": NaN}',
        b'{"a":' * 100_000,
        b'{"max_tokens": 1e999}',
        b'"\\ud800"',
    ],
)
def test_what_is_not_json(data: bytes) -> None:
    assert refused(data).status == 400


def test_messages_never_repeat_a_whole_image() -> None:
    made = body()
    made["messages"][0]["content"][0]["image_url"] = "data:image/png;base64," + "A" * 100_000
    assert len(str(refused(made))) < 300


def test_messages_never_repeat_a_whole_value_that_pydantic_repeats() -> None:
    """What names the kind of a part may be anything; pydantic writes all of it."""
    made = body("What?")
    made["messages"][0]["content"][0]["type"] = {"text": "a" * 100_000}
    refusal = refused(made)
    assert refusal.status == 400 and refusal.param == "messages.0.content.0"
    assert len(str(refusal)) < 1100 and "image_url" in str(refusal), str(refusal)[:200]
