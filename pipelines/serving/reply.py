"""The response: OpenAI's chat completion, whole or in chunks, with the trace as a top-level `saccade` object.

    "saccade": {
      "answer": "INV-2041", "readable": true, "confidence": 0.93,
      "parts": [{"question": "...", "answer": "...", "confidence": 0.93}],    one by one; null: it was one question
      "grid": {"rows": 64, "cols": 48, "width_px": 768, "height_px": 1024,
               "levels": [{"rows": 32, "cols": 24}]},    of each coarser level; null: there is none
      "images": [[0, 0, 1, 1]],                        where each image lies on what was looked at, x0 y0 x1 y1 in uv
      "fixations": [{"number": 1, "gaze": [0.62, 0.18], "extent": 0.25, "reason": "...", "score": 0.81,
                     "tokens": 273, "kept": [17, 18, ...],          canvas cells, row * cols + col
                     "levels": [0, 1, ...],                         of each of them; null: all are of full resolution
                     "answer": "INV-2041", "readable": true, "confidence": 0.93,
                     "visual_tok": 273, "prefill_tok": 301, "cached_tok": 0, "seconds": 0.21,
                     "importance": "..."}],                         on request: one byte per cell, in base64
      "cost": {"visual_tok": 546, "image_tok": 3072, "prefill_tok": 620, "cached_tok": 273, "encoder_patches": 3072,
               "encoder_passes": 1.0, "cache_hit": false, "seconds": {"wait": 0, "encode": 0.3, "plan": 0.1, ...}}}

`usage` counts the language model's input and output tokens of all fixations; those of earlier fixations' answers are
`completion_tokens_details.reasoning_tokens`.
"""

import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.serving.looker import Fixation, Looked
from pipelines.serving.reader import Piece
from pipelines.serving.schema import Asked
from saccade.geometry.grid import level_sizes, on_canvas
from saccade.types import Trace

REFUSED = "The answer could not be read in what was looked at."
"""The `refusal` of an answer that the model cannot read; `content` is then empty."""


@dataclass(frozen=True, slots=True)
class Final:
    """The answer that is sent: cut at the first stop string, or after `max_tokens`."""

    text: str
    finish: str  # stop, length
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, asked: Asked, looked: Looked, most_tok: int) -> "Final":
        """Cuts the answer; with greedy decoding that equals having stopped there."""
        answer, pieces = looked.trace.answer, looked.pieces
        text, finish = answer.text, "stop"
        if asked.max_tok is not None and len(pieces) >= asked.max_tok:
            finish = "length"  # of exactly so many as well: the end token would be one more
            if len(pieces) > asked.max_tok:
                pieces = pieces[: asked.max_tok]
                said = b"".join(piece.data for piece in pieces).decode("utf-8", "ignore").strip()
                text = said if answer.readable else ""
        elif len(answer.logprobs) >= most_tok and not _ended(looked):
            finish = "length"
        cuts = [place for place in (text.find(stop) for stop in asked.stop) if place >= 0]
        if cuts:
            text, finish = text[: min(cuts)], "stop"
            pieces = _until(pieces, text)
        return cls(text, finish, pieces)


def _ended(looked: Looked) -> bool:
    """Whether the model ended the answer; its last log-probability is then that of the end token."""
    answer = looked.trace.answer
    return len(answer.token_ids) < len(answer.logprobs)


def _until(pieces: tuple[Piece, ...], text: str) -> tuple[Piece, ...]:
    """The first tokens of the answer that together hold `text`."""
    size = 0
    for number, piece in enumerate(pieces):
        if size >= len(text.encode("utf-8", "replace")):
            return pieces[:number]
        size += len(piece.data)
    return pieces


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer's envelope: the id and the time that all its chunks carry."""

    asked: Asked
    model: str
    most_tok: int  # the engine's own limit of an answer
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, looked: Looked, fixations: list[Fixation]) -> dict[str, Any]:
        """A `chat.completion`."""
        final = Final.of(self.asked, looked, self.most_tok)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": final.text, "refusal": refused(looked)},
            "logprobs": self._logprobs(looked, final),
            "finish_reason": final.finish,
        }
        completion = {**self._head("chat.completion"), "choices": [choice], "usage": usage(looked)}
        return {**completion, "saccade": trace(looked, fixations)} if self.asked.trace else completion

    def opening(self) -> str:
        """The first chunk."""
        return self._chunk({"role": "assistant", "content": ""})

    def fixation(self, look: Fixation) -> str:
        """A chunk of one look, with an empty delta."""
        return self._chunk({}, saccade={"grid": grid(look), "fixation": fixation(look)})

    def closing(self, looked: Looked, fixations: list[Fixation]) -> list[str]:
        """Chunks of the answer, its end, the usage on request, and [DONE]. The chunk before [DONE] holds the trace."""
        final = Final.of(self.asked, looked, self.most_tok)
        extra = {"saccade": trace(looked, fixations)} if self.asked.trace else {}
        delta = {"content": final.text} | ({"refusal": REFUSED} if refused(looked) else {})
        out = [self._chunk(delta, logprobs=self._logprobs(looked, final))]
        if not self.asked.include_usage:
            return [*out, self._chunk({}, finish=final.finish, **extra), DONE]
        last = {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(looked), **extra}
        return [*out, self._chunk({}, finish=final.finish), event(last), DONE]

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None, logprobs: Any = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        usage = {"usage": None} if self.asked.include_usage else {}
        return event({**self._head("chat.completion.chunk"), "choices": [choice], **usage, **more})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _logprobs(self, looked: Looked, final: Final) -> dict[str, Any] | None:
        if not self.asked.logprobs:
            return None
        content = [
            {
                "token": piece.text,
                "logprob": logprob,
                "bytes": list(piece.data),
                "top_logprobs": [],
            }
            for piece, logprob in zip(final.pieces, looked.trace.answer.logprobs, strict=False)
        ]
        return {"content": content, "refusal": None}


DONE = "data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n"


def refused(looked: Looked) -> str | None:
    """OpenAI's field for an answer that the model would not give."""
    return None if looked.trace.answer.readable else REFUSED


def usage(looked: Looked) -> dict[str, Any]:
    """Input and output tokens of the language model, all fixations together."""
    cost, steps = looked.trace.cost, looked.trace.steps
    completion = sum(len(step.answer.logprobs) for step in steps)
    prompt = cost.prefill_tok + cost.cached_tok
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cost.cached_tok},
        "completion_tokens_details": {"reasoning_tokens": completion - len(looked.trace.answer.logprobs)},
    }


def trace(looked: Looked, fixations: list[Fixation]) -> dict[str, Any]:
    """The whole trace."""
    answer, cost = looked.trace.answer, looked.trace.cost
    return {
        "answer": answer.text,
        "readable": answer.readable,
        "confidence": answer.confidence,
        "parts": [part(each) for each in looked.trace.parts] or None,
        "grid": grid(fixations[0]),
        "images": [list(box) for box in looked.boxes],
        "fixations": [fixation(update) for update in fixations],
        "cost": {
            "visual_tok": cost.visual_tok,
            "image_tok": len(looked.seen.grid),
            "prefill_tok": cost.prefill_tok,
            "cached_tok": cost.cached_tok,
            "encoder_patches": cost.encoder_patches,
            "encoder_passes": cost.encoder_passes,
            "cache_hit": looked.sight.misses == 0,
            "seconds": {"wait": looked.waited_s, **cost.seconds},
        },
    }


def part(trace: Trace) -> dict[str, Any]:
    """One part of a question that was asked part by part."""
    return {"question": trace.question, "answer": trace.answer.text, "confidence": trace.answer.confidence}


def grid(look: Fixation) -> dict[str, Any]:
    """The canvas that `kept` counts on, and how many cells each coarser level has."""
    fields = {name: getattr(look.grid, name) for name in ("rows", "cols", "width_px", "height_px")}
    return {**fields, "levels": [{"rows": rows, "cols": cols} for rows, cols in level_sizes(look.grid)] or None}


def fixation(look: Fixation) -> dict[str, Any]:
    """One look."""
    answer = look.answer
    fields = {
        "number": look.number,
        "gaze": [round(value, 4) for value in look.gaze.uv],
        "extent": look.gaze.extent_uv,
        "reason": look.gaze.reason,
        "score": look.gaze.score,
        "tokens": len(look.kept),
        "kept": list(look.kept),
        "levels": list(look.levels) if any(look.levels) else None,
        "answer": answer.text,
        "readable": answer.readable,
        "confidence": answer.confidence,
        "visual_tok": answer.visual_tok,
        "prefill_tok": answer.prefill_tok,
        "cached_tok": answer.cached_tok,
        "seconds": answer.seconds,
    }
    if look.importance is not None:
        greys = (on_canvas(look.grid, look.importance.cpu().clamp(0, 1), empty=0.0) * 255).round().byte()
        fields["importance"] = base64.b64encode(greys.numpy().tobytes()).decode()
    return fields
