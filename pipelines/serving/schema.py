"""`POST /v1/chat/completions`: the schema of a request, and what it is parsed to (`Asked`).

The model is given one picture and one question. So:

- System and developer messages, and earlier turns, are put before the last user message's text, as text. Where to look
  is decided by the last user message alone.
- Several images are laid out on one sheet (`pipelines.serving.pictures`), in the order in which they appear.
- Decoding is greedy: a temperature above 0 is refused, `seed` and `top_p` change nothing.
- Unsupported parameters that would change the answer are refused; those that would not are ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from pipelines.serving.ignored_fields import plain_messages
from pipelines.serving.messages import Message, Piece
from pipelines.serving.refusals import Refusal, invalid, short
from saccade import untrusted
from saccade.config import VIEWS, Episode
from saccade.decoding.pages import ranges
from saccade.errors import ConfigError
from saccade.registry import settings_text
from saccade.settings import option_of

INERT = {
    "cache_salt", "ignore_eos", "metadata", "parallel_tool_calls", "priority", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "request_id", "safety_identifier", "seed", "service_tier",
    "store", "top_k", "top_p", "user", "verbosity",
}  # fmt: skip
"""Parameters that cannot change a greedy answer. `vllm bench serve` sends `ignore_eos`: an answer ends where the model
ends it all the same, and `usage` counts what was said."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "temperature": (0,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "min_p": (0,),
    "best_of": (1,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "reasoning_effort": ("none",),
    "echo": (False,),
    "skip_special_tokens": (True,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "use_beam_search": (False,),
    "min_tokens": (0,),
    "stop_token_ids": ([],),
}
"""Parameters that would change the answer and are not supported, with the values at which they do not."""

WHY = {
    "temperature": "answers are greedy: leave it out or give 0",
    "n": "answers are greedy, so all would be the same: leave it out or give 1",
    "top_logprobs": "only the chosen token's log-probability is known: leave it out or give 0",
}

STRATEGIES = {
    name: option.names for name, field in Episode.model_fields.items() if (option := option_of(field.metadata)).names
}
"""Settings of an episode that name a strategy, and of which kind."""


class StreamOptions(Piece):
    """What a stream also tells. Obfuscation is a padding of OpenAI's own, usage so far is vLLM's: neither is sent."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    continuous_usage_stats: bool | None = None


class Body(BaseModel):
    """A request. Parameters of `INERT` and `NEUTRAL` are taken out before it is built."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str
    messages: list[Message] = Field(min_length=1, max_length=256)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: Annotated[list[str], Field(max_length=64)] | str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    saccade: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, parsed."""

    question: str  # the last user message: decides where to look
    prompt: str  # what the reader is asked: everything
    urls: tuple[str, ...]
    episode: Episode
    max_tok: int | None
    stop: tuple[str, ...]
    logprobs: bool
    stream: bool
    include_usage: bool
    trace: bool
    importance: bool
    pages: str | None = None  # of files that have several

    @property
    def needs_pieces(self) -> bool:
        """Whether the answer must come with its tokens."""
        return self.logprobs or self.max_tok is not None


def parse(data: bytes, model: str, settings: Episode) -> Asked:
    """Parses the bytes of a request.

    Raises:
        Refusal: 400 where the request is wrong, 404 for another model.
    """
    try:
        request = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, f"the request is not JSON: {short(str(error))}", code="invalid_json") from error
    if not isinstance(request, dict):
        raise Refusal(400, f"the request must be a JSON object; it is {short(request)}", code="invalid_json")
    parameters = _supported(request)
    if "messages" in parameters:
        parameters["messages"] = plain_messages(parameters["messages"])
    try:
        body = Body(**parameters)
    except ValidationError as error:
        raise invalid(error, parameters) from error
    if body.model != model:
        raise Refusal(404, f"no model {short(body.model)}; this server has {model!r}", "model", "model_not_found")
    return _asked(body, settings)


def _supported(request: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request without those that have no effect or are null."""
    parameters = {}
    for name, value in request.items():
        if value is None or name in INERT:
            continue
        if name in NEUTRAL:
            if isinstance(value, bool) != isinstance(NEUTRAL[name][0], bool) or value not in NEUTRAL[name]:
                why = WHY.get(name, "it is not supported: leave it out")
                raise Refusal(400, f"{name} = {short(value)}: {why}", name, "unsupported_value")
        elif name not in Body.model_fields:
            raise Refusal(400, f"no parameter {short(name)}", name[:80], "unknown_parameter")
        else:
            parameters[name] = value
    return parameters


def _asked(body: Body, settings: Episode) -> Asked:
    *earlier, last = body.messages
    if last.role != "user":
        raise Refusal(400, f"the last message must be the user's; its role is {last.role!r}", "messages")
    if not last.text.strip():
        raise Refusal(400, "the last message has no text: ask something about the image", "messages")
    for number, message in enumerate(body.messages):
        if message.urls and message.role != "user":
            raise Refusal(400, f"messages.{number}: only user messages may hold images", "messages")
    urls = tuple(url for message in body.messages for url in message.urls)
    if not urls:
        raise Refusal(400, "no image: this model answers questions about an image; add an image_url part", "messages")
    limits = [limit for limit in (body.max_tokens, body.max_completion_tokens) if limit is not None]
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if "" in stop:
        raise Refusal(400, "stop: an empty string ends every answer before it begins", "stop")
    knobs = dict(body.saccade or {})
    flags = {name: _flag(knobs, name) for name in ("trace", "importance")}
    pages = _pages(knobs)
    return Asked(
        question=last.text,
        prompt=_prompt(earlier, last),
        urls=urls,
        episode=_episode(knobs, settings),
        max_tok=min(limits, default=None),
        stop=stop,
        logprobs=bool(body.logprobs),
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        trace=flags["trace"] or flags["importance"],
        importance=flags["importance"],
        pages=pages,
    )


def _prompt(earlier: list[Message], last: Message) -> str:
    """All texts as one prompt: instructions, then the earlier turns with their roles, then the question."""
    instructions = [message.text for message in earlier if message.role in ("system", "developer")]
    turns = [f"{m.role}: {m.text}" for m in earlier if m.role in ("user", "assistant") and m.text]
    return "\n\n".join(part for part in (*instructions, "\n".join(turns), last.text) if part.strip())


def _flag(knobs: dict[str, Any], name: str) -> bool:
    value = knobs.pop(name, False)
    if not isinstance(value, bool):
        raise Refusal(400, f"saccade.{name} must be true or false; got {short(value)}", f"saccade.{name}")
    return value


def _pages(knobs: dict[str, Any]) -> str | None:
    """The requested pages of a PDF or TIFF."""
    pages = knobs.pop("pages", None)
    pages = str(pages) if isinstance(pages, int) and not isinstance(pages, bool) else pages
    if not isinstance(pages, str | None):
        raise Refusal(400, f"saccade.pages must be text, as in '1,3-5'; got {short(pages)}", "saccade.pages")
    try:
        ranges(pages)
    except ConfigError as error:
        raise Refusal(400, f"saccade.{error}", "saccade.pages", "invalid_setting") from error
    return pages


def _episode(knobs: dict[str, Any], settings: Episode) -> Episode:
    """The server's settings, overruled by the request's; `tokens` is short for the budget's."""
    if not knobs:
        return settings
    _refuse_untrusted(knobs)
    if "tokens" in knobs:
        if "budget" in knobs:
            raise Refusal(400, "saccade: give tokens or budget, not both", "saccade.tokens")
        tokens = knobs.pop("tokens")
        knobs["budget"] = "adaptive" if tokens == "auto" else {"name": "fixed", "tokens": tokens}
    try:
        wanted = settings.with_settings(**knobs)
        wanted.check_engine(None, together=False)
        return wanted
    except ValidationError as error:
        refused = invalid(error, knobs, "saccade")
        listed = f". Settings: {settings_text(Episode)}" if knobs.keys() - Episode.model_fields.keys() else ""
        raise Refusal(400, f"{refused}{listed}", refused.param, refused.code) from error
    except ConfigError as error:
        raise Refusal(400, f"saccade: {str(error)[:2000]}", "saccade", "invalid_setting") from error
    except (TypeError, ValueError, OverflowError, AttributeError) as error:  # a strategy of an unexpected shape
        raise Refusal(400, f"saccade: {type(error).__name__}: {short(str(error))}", "saccade") from error


def _refuse_untrusted(knobs: Mapping[str, Any]) -> None:
    """Raises Refusal if a request sets something that only the operator may."""
    for name in knobs:
        try:
            if name == "scorer" and knobs[name] is not None:
                untrusted.refuse_scorers(knobs[name])
            elif name in STRATEGIES and knobs[name] not in (None, *VIEWS):
                untrusted.refuse(STRATEGIES[name], knobs[name])
            elif knobs[name] is not None and name in Episode.model_fields:
                untrusted.refuse_file(name, Episode.model_fields[name].metadata)
        except ConfigError as error:
            raise Refusal(400, f"saccade.{name}: {str(error)[:1000]}", f"saccade.{name}", "invalid_setting") from error
