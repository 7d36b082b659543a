"""An encoder for many threads: their pictures share passes, and the encoder itself works in one thread.

`saccade.seen.see` is plain code: it decodes, cuts and then asks for an encoding. Here it runs in one thread per image,
while the tower runs in a single thread for all of them, on whatever waits by then.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from pipelines.execute.async_reader import Together
from saccade.engines import Encoder, ForwardingEncoder
from saccade.errors import SaccadeError
from saccade.families import Prepared
from saccade.types import Encoding, Grid, Query


class Passes:
    """Passes of one encoder's tower, each over up to `most` pictures that waited while the one before it ran.

    A pass that fails is repeated picture by picture, so that a picture that breaks it fails alone.
    """

    def __init__(self, engine: Encoder, most: int, wait_s: float = 0.0) -> None:
        self.engine = engine
        self._passes: Together[Prepared, Encoding] = Together("encode", self._pass, lambda _: None, most, wait_s)

    async def encode(self, prepared: Prepared) -> Encoding:
        """The encoding of one picture, in memory of its own. Raises what the engine raises."""
        return await self._passes(prepared)

    async def queries(self, questions: Sequence[str]) -> list[Query | SaccadeError]:
        """Questions, embedded between two passes, with the error in the place of one that cannot be."""
        return await self._passes.run(self._queries, questions)

    def close(self) -> None:
        """Waits for the pass that is going on."""
        self._passes.close()

    def _pass(self, batch: list[Prepared]) -> list[Encoding]:
        encodings = self.engine.encode(batch)
        return encodings if len(encodings) == 1 else [owned(encoding) for encoding in encodings]

    def _queries(self, questions: Sequence[str]) -> list[Query | SaccadeError]:
        return [self._query(question) for question in questions]

    def _query(self, question: str) -> Query | SaccadeError:
        try:
            return self.engine.query(question)
        except SaccadeError as error:
            return error


class Threaded(ForwardingEncoder):
    """The encoder as one image's thread uses it. To be created in the event loop, where its passes run.

    `questions` that are named beforehand are embedded together.
    """

    def __init__(self, passes: Passes, questions: Sequence[str] = ()) -> None:
        super().__init__(passes.engine)
        self.passes, self.loop = passes, asyncio.get_running_loop()
        self._questions = tuple(questions)
        self._coming = asyncio.ensure_future(passes.queries(questions)) if questions else None

    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        """Encodings from the next passes."""
        coming = [asyncio.run_coroutine_threadsafe(self.passes.encode(item), self.loop) for item in batch]
        return [each.result() for each in coming]

    def query(self, question: str) -> Query:
        """The question's tokens, from the thread that the engine runs in."""
        embedded = asyncio.run_coroutine_threadsafe(self._query(question), self.loop).result()
        if isinstance(embedded, SaccadeError):
            raise embedded
        return embedded

    async def _query(self, question: str) -> Query | SaccadeError:
        if self._coming is not None and question in self._questions:
            return (await self._coming)[self._questions.index(question)]
        return (await self.passes.queries([question]))[0]


def owned(encoding: Encoding) -> Encoding:
    """An encoding that holds its own memory: a slice of a batch would keep the whole batch alive."""
    return replace(encoding, **{name: tensor.clone() for name, tensor in tensors(encoding).items()})


def tensors(value: Encoding | Grid) -> dict[str, Any]:
    """Its tensors, by field."""
    values = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: tensor for name, tensor in values.items() if isinstance(tensor, Tensor)}
