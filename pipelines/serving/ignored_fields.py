"""Drops what clients send along in messages without effect: nulls, fields of a server's answer, cache hints.

A client's library sends the server's own message back in the next turn, with every field that it has; proxies (LiteLLM)
mark images with their type, and prompts with what may be cached. Anything else unknown stays and is refused by the
schema: it might have been meant to change the answer.
"""

from typing import Any

PART = {
    "annotations", "cache_control", "cache_breakpoint", "format", "id", "index", "logprobs", "metadata", "mime_type",
    "media_type", "provider_specific_fields", "provider_options", "prompt_cache_breakpoint", "uuid",
}  # fmt: skip
"""Of a piece of text, of an image, and of what is inside it."""

MESSAGE = {
    "annotations", "audio", "cache_control", "created", "created_at", "finish_reason", "function_call", "id", "index",
    "metadata", "provider_options", "provider_specific_fields", "refusal", "status", "stop_reason", "timestamp",
    "tool_calls", "uuid", "weight",
}  # fmt: skip
"""Of a message of the user or the system, when it says nothing or nothing that matters."""

MEANT = ("audio", "function_call", "tool_calls")
"""Fields of a message that are harmless only when they are empty."""

FILE = PART | {"filename"}
ANSWER = ("role", "content", "name", *MEANT)
"""What of an earlier answer is looked at: the rest is what some server said of it."""


def plain_messages(messages: Any) -> Any:
    """Messages without fields that have no effect; messages of an unknown shape are returned unchanged."""
    return [_message(each) if isinstance(each, dict) else each for each in messages] if _is_list(messages) else messages


def _message(message: dict[str, Any]) -> dict[str, Any]:
    answer = message.get("role") == "assistant"
    cleaned = {}
    for name, value in message.items():
        empty = value is None or value in ([], {}, "")
        dropped = name not in ANSWER if answer else name in MESSAGE and name not in MEANT
        if value is None or (name in MEANT and empty) or dropped:
            continue
        cleaned[name] = value
    if answer and "content" not in cleaned and isinstance(message.get("refusal"), str):
        cleaned["content"] = message["refusal"]
    if _is_list(cleaned.get("content")):
        cleaned["content"] = [_part(each) if isinstance(each, dict) else each for each in cleaned["content"]]
    return cleaned


def _part(part: dict[str, Any]) -> dict[str, Any]:
    cleaned = _without(part, PART)
    if cleaned.get("type") == "refusal" and isinstance(cleaned.get("refusal"), str):
        return {"type": "text", "text": cleaned["refusal"]}
    for inside, names in (("image_url", PART), ("file", FILE)):
        if isinstance(cleaned.get(inside), dict):
            cleaned[inside] = _without(cleaned[inside], names)
    return cleaned


def _without(value: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: each for name, each in value.items() if each is not None and name not in names}


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
