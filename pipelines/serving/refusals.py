"""What goes wrong, in OpenAI's error form: {"error": {"message", "type", "param", "code"}} under a fitting status.

400 the request is malformed or asks for what is not there; 401 no or a wrong key; 404 no such model or path; 408 the
request did not arrive in time; 413 too many bytes, pixels or images; 422 an image that cannot be read; 429 the queue is
full; 503 the engine is gone, the server is closing, or an answer took too long; 500 the model failed.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from saccade.errors import ConfigError, DataError, EngineDead, PictureError, SaccadeError

SHOWN = 80
"""Characters of a wrong value that a message repeats; the value may be a whole image."""
MESSAGE = 1000
"""Characters of a message: what others write, pydantic and the library, may repeat a value as well."""


class Refusal(SaccadeError):  # noqa: N818
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if len(message) > MESSAGE:
            message = f"{message[: MESSAGE // 2]} ... {message[-MESSAGE // 2 :]}"
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        required = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "5"}}
        self.headers: Mapping[str, str] = headers or required.get(status, {})

    def body(self) -> dict[str, Any]:
        """OpenAI's form."""
        kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(
            self.status, "invalid_request_error" if self.status < 500 else "server_error"
        )
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def refusal(error: BaseException) -> Refusal:
    """The refusal for an error: of the library, of Ray, or unexpected."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, PictureError):
        return Refusal(422, str(error), "messages", "invalid_image")
    if isinstance(error, DataError):
        return Refusal(400, str(error), "messages", "invalid_question")
    if isinstance(error, ConfigError):
        return Refusal(400, str(error), "saccade", "invalid_setting")
    if isinstance(error, EngineDead):
        return Refusal(503, f"the model is being restarted: {error}. Ask again", code="engine_dead")
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return Refusal(503, "no answer in time. Ask again, or for fewer fixations", code="timeout")
    if isinstance(error, SaccadeError):
        return Refusal(500, f"the model failed on this request: {error}", code="engine_error")
    return Refusal(500, f"the server failed on this request ({type(error).__name__})", code="internal_error")


def invalid(error: ValidationError, given: Mapping[str, Any], within: str = "") -> Refusal:
    """The refusal for a request that does not fit its schema: one mistake, its place, and the value, shortened.

    For a value that may have several shapes pydantic reports each; the error deepest in the request is the one meant.
    """
    mistakes = error.errors(include_url=False, include_context=False)
    mistake = max(mistakes, key=lambda item: len(item["loc"]))
    place = ".".join(part for part in (within, *_place(mistake["loc"], mistake["type"], given)) if part)
    text = f"{place or 'the request'}: {mistake['msg']} (got {short(mistake['input'])})"
    return Refusal(400, text, place or None, "invalid_value")


def _place(location: tuple[int | str, ...], kind: str, given: Any) -> list[str]:
    """The parts of a pydantic location that are in the request; the other parts name the shapes that pydantic tried."""
    parts = []
    for number, part in enumerate(location):
        inside = (isinstance(given, Mapping) and part in given) or (
            isinstance(given, list) and isinstance(part, int) and part < len(given)
        )
        if inside:
            given = given[part]
        if inside or (kind in ("missing", "extra_forbidden") and number == len(location) - 1):
            parts.append(str(part)[:SHOWN])
    return parts


def short(value: Any) -> str:
    """A value shortened for a message."""
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN else f"{value[:SHOWN]!r}... of {len(value):,} characters"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**SHOWN:
        return "a huge number"
    return repr(value)[:SHOWN]
