"""The encoders: a pool of named actors, each with a vision tower, which all lookers share.

An image's glimpse is encoded first, or its view where it has no glimpse. The view after a glimpse is encoded when a
question asks for it: until then the encoder keeps the image, and a restarted encoder prepares it anew.
"""

import asyncio
import io
import json
import os
import socket
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipelines.execute.actor import EngineActor
from pipelines.execute.async_encoder import Passes, Threaded
from pipelines.execute.plan import Plan, survived
from pipelines.execute.pool import Pool
from pipelines.execute.serialization import freeze, thaw
from saccade.datasets import Dataset, Row
from saccade.errors import EngineError, SaccadeError, describe
from saccade.families import Prepared
from saccade.machine import resolved_device
from saccade.registry import load
from saccade.seen import PUT_OFF, Put, Seen, see
from saccade.types import Encoding, Question

PREPARERS = 2
"""Pictures decoded and cut at the same time, while the tower encodes others; each then waits for its pass."""

BATCH = {False: 1, True: 4}
"""Images in one pass, without and with a GPU: one keeps a CPU busy, and padding to the longest is wasted work."""

BYTES_PER_PX = 15
"""Memory of a picture that is kept for its view: three bytes of colour, and three floats for the tower."""

KEPT_BYTES = 1 << 30
"""Memory of all pictures that are kept; the oldest are dropped, and decoded again when they are asked for."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What an episode starts from, without its picture. Travels packed by `pipelines.execute.serialization.freeze`."""

    questions: tuple[Question, ...]  # with answer boxes in uv, and an `error` where one cannot be answered
    seen: Seen | None  # None: there is nothing to ask, and nothing was encoded


@dataclass(frozen=True, slots=True)
class Encoded:
    """The encoding of a view that had been put off, and what it cost."""

    encoding: Encoding
    seconds: float


class EncoderActor(EngineActor):
    """Encodes. A request names its image, so a restarted encoder needs no history."""

    def open(self) -> None:
        """The data set, the tower, and what counts its passes."""
        plan = self.plan
        self.kept: OrderedDict[str, Seen] = OrderedDict()  # images of which something has been put off
        self.counted: set[str] = set()
        self.dataset = load("datasets", plan.dataset, Dataset)
        most = plan.encode_batch or BATCH[resolved_device(plan.engine.device).type != "cpu"]
        self.passes = Passes(self.stack.enter_context(plan.engine.open_encoder()), most)
        self.stack.callback(self.passes.close)
        self.preparers = self.stack.enter_context(ThreadPoolExecutor(max(PREPARERS, 2 * most)))
        lines = plan.layout.encoded_file(plan.attempt, f"{socket.gethostname()}-{os.getpid()}")
        self.lines: io.TextIOBase = self.stack.enter_context(lines.open("a", buffering=1))

    async def see(self, listed: Row) -> Sight:
        """What an episode starts from. Questions of an image that cannot be used come back with an `error`."""
        sight = await self.answer(self._sight(listed))
        if sight.seen is None:
            return sight
        if any(map(sight.seen.deferred, PUT_OFF)):
            self._keep(listed.image_id, sight.seen)
        return freeze(replace(sight, seen=sight.seen.elsewhere()))

    async def more(self, listed: Row, what: Put) -> Encoded | SaccadeError:
        """What `see` put off, or the error of the questions that asked for it."""
        seen = self.kept.get(listed.image_id) or (await self._sight(listed)).seen
        if seen is None:
            return EngineError(f"{listed.image_id!r} cannot be opened again")
        before = seen.seconds
        try:
            loop = asyncio.get_running_loop()
            encoding = await self.answer(loop.run_in_executor(self.preparers, seen.encode, what))
        except Exception as error:
            return _as_saccade_error(survived(error, self.plan))
        return freeze(Encoded(encoding, seen.seconds - before))

    async def forget(self, image_id: str) -> None:
        """Drops an image that is finished."""
        self.kept.pop(image_id, None)
        self.counted.discard(image_id)

    async def _sight(self, listed: Row) -> Sight:
        if self.failed is not None:
            return Sight(_failed(listed.questions, self.failed), None)
        encoder = _Counted(self, listed)
        try:
            return await asyncio.get_running_loop().run_in_executor(self.preparers, self._see, listed, encoder)
        except Exception as error:
            return Sight(_failed(listed.questions, survived(error, self.plan)), None)

    def _see(self, listed: Row, encoder: "_Counted") -> Sight:
        sample = self.dataset.sample(listed, self.plan.limit_px)
        asked = [question for question in sample.questions if question.error is None]
        try:
            seen = see(self.plan.episode, encoder, sample.picture, asked) if asked else None
        except Exception as error:
            return Sight(_failed(sample.questions, survived(error, self.plan)), None)
        return Sight(sample.questions, seen)

    def _keep(self, image_id: str, seen: Seen) -> None:
        self.kept[image_id] = seen
        size = sum(each.picture.width_px * each.picture.height_px * BYTES_PER_PX for each in self.kept.values())
        while size > KEPT_BYTES and len(self.kept) > 1:
            picture = self.kept.popitem(last=False)[1].picture
            size -= picture.width_px * picture.height_px * BYTES_PER_PX


class _Counted(Threaded):
    """The encoder, writing one line before its first pass over an image: passes of a killed run count as well."""

    def __init__(self, actor: EncoderActor, listed: Row) -> None:
        super().__init__(actor.passes, [question.text for question in listed.questions if question.error is None])
        self.actor, self.image_id = actor, listed.image_id

    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        if self.image_id not in self.actor.counted:
            self.actor.counted.add(self.image_id)
            self.actor.lines.write(json.dumps(self.image_id) + "\n")
        return super().encode(batch)


def _failed(questions: Sequence[Question], error: Exception) -> tuple[Question, ...]:
    return tuple(replace(question, error=question.error or describe(error)) for question in questions)


def _as_saccade_error(error: Exception) -> SaccadeError:
    return error if isinstance(error, SaccadeError) else EngineError(describe(error))


class Encoders(Pool):
    """The encoders as one looker uses them. An image stays with one encoder, which keeps what it has prepared of it."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("encoder", [plan.encoder(number) for number in range(plan.num_encoders)], plan)

    async def see(self, number: int, listed: Row) -> Sight:
        """What an image's episodes start from; without its picture. Raises EngineDead as `ask`."""
        return thaw(await self.ask(number, "see", listed))  # type: ignore[no-any-return]

    async def more(self, number: int, listed: Row, what: Put) -> Encoded:
        """What was put off. Raises SaccadeError; EngineDead as `ask`."""
        reply = await self.ask(number, "more", listed, what)
        if isinstance(reply, SaccadeError):
            raise reply
        return thaw(reply)  # type: ignore[no-any-return]

    def forget(self, number: int, image_id: str) -> None:
        """Tells an encoder that an image is finished, without waiting for it."""
        self.actors[number].forget.remote(image_id)
