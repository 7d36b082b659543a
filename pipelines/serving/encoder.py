"""The encoder replica: pictures to encodings, several pictures in one pass, each picture once.

Encodings are kept by picture hash, encoder fingerprint and view, the least recently used dropped when they fill
`cache_bytes`. Requests for the same view of the same picture that come while it is being encoded wait for that pass.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from pipelines.execute.async_encoder import Passes, Threaded, tensors
from pipelines.execute.wire import freeze
from pipelines.serving.replica import Replica
from pipelines.serving.settings import ServeConfig
from saccade.config import Episode
from saccade.episode import Seen, see
from saccade.errors import SaccadeError
from saccade.families import Prepared
from saccade.picture import Picture
from saccade.seen import Put
from saccade.types import Encoding, Question

Key = tuple[str, str, str]  # picture hash, encoder fingerprint, view (`Prepared.key`)

OUTLINES = 1024
"""Prepared views without their pixels that are kept: a picture seen before need not be decoded for its encoding."""

PREPARERS = 4
"""Pictures that are decoded and cut at once; each also waits for its pass in its thread."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What an encoder gives back. `seen` travels without its picture, packed by `pipelines.execute.wire.freeze`."""

    seen: Seen
    hits: int
    misses: int
    cache_bytes: int


class Cache:
    """Encodings by key, bounded by their bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.size_bytes = limit_bytes, 0
        self.kept: OrderedDict[Key, Encoding] = OrderedDict()

    def get(self, key: Key) -> Encoding | None:
        """The encoding, which is now the most recently used."""
        encoding = self.kept.get(key)
        if encoding is not None:
            self.kept.move_to_end(key)
        return encoding

    def put(self, key: Key, encoding: Encoding) -> None:
        """Keeps an encoding; one larger than the whole cache is not kept."""
        if key in self.kept or size_of(encoding) > self.limit_bytes:
            return
        self.kept[key] = encoding
        self.size_bytes += size_of(encoding)
        while self.size_bytes > self.limit_bytes:
            self.size_bytes -= size_of(self.kept.popitem(last=False)[1])


def size_of(encoding: Encoding) -> int:
    """Bytes of its tensors."""
    parts = [*tensors(encoding).values(), *tensors(encoding.grid).values()]
    return sum(tensor.nbytes for tensor in parts)


class EncoderReplica(Replica):
    """Holds the vision tower. All its passes run in one thread: an engine takes one request at a time."""

    def __init__(self, config: ServeConfig, threads: int) -> None:
        super().__init__(threads)
        self.config = config
        self.engine = self.stack.enter_context(config.engine_spec.open_encoder())
        self.passes = Passes(self.engine, config.encode_batch, config.encode_wait_s)
        self.stack.callback(self.passes.close)
        self.preparers = self.stack.enter_context(ThreadPoolExecutor(max(PREPARERS, 2 * config.encode_batch)))
        self.fingerprint = self.engine.family.fingerprint
        self.cache = Cache(config.cache_bytes)
        self.under_way: dict[Key, asyncio.Future[Encoding]] = {}
        self.outlines: OrderedDict[tuple[str, int | None], Prepared] = OrderedDict()

    async def see(
        self, data: bytes | np.ndarray, settings: Episode, question: str, more: Put | None = None
    ) -> Sight | SaccadeError:
        """What an episode starts from, or the error that costs this request.

        What is put off until a question is unsure cannot leave this process: it is made if it is the `more` asked for.
        """
        view = View(self)

        def work() -> Seen:
            seen = see(settings, view, Picture.open(data), [Question("0", question)])
            if more is not None:
                seen.encode(more)
            return seen.elsewhere()

        try:
            seen = await asyncio.get_running_loop().run_in_executor(self.preparers, work)
        except Exception as error:
            return self.failed(error)
        return Sight(freeze(seen), view.hits, view.misses, self.cache.size_bytes)

    def outline(self, picture_hash: str, max_tok: int | None) -> Prepared | None:
        """A view of a picture as it was prepared before, without its pixels."""
        return self.outlines.get((picture_hash, max_tok))

    def keep_outline(self, max_tok: int | None, prepared: Prepared) -> None:
        """Keeps a prepared view without its pixels; the oldest are let go."""
        self.outlines[prepared.picture_hash, max_tok] = replace(prepared, patches=torch.empty(len(prepared.patches), 0))
        while len(self.outlines) > OUTLINES:
            self.outlines.popitem(last=False)

    async def encoding(self, key: Key, prepared: Prepared) -> Encoding:
        """An encoding that is not kept: from the pass that is making it already, or from a new one."""
        waiting = self.under_way.get(key)
        if waiting is None:
            waiting = self.under_way[key] = asyncio.ensure_future(self._encode(key, prepared))
            waiting.add_done_callback(lambda _: self.under_way.pop(key))
        return await asyncio.shield(waiting)

    async def _encode(self, key: Key, prepared: Prepared) -> Encoding:
        encoding = await self.passes.encode(prepared)
        self.cache.put(key, encoding)
        return encoding


class View(Threaded):
    """The encoder as `saccade.seen.see` uses it, in a thread, for one request: what is kept is not made again."""

    def __init__(self, replica: EncoderReplica) -> None:
        super().__init__(replica.passes)
        self.replica = replica
        self.asked: dict[str, tuple[Picture, int | None]] = {}  # view -> what it was prepared from
        self.hits = self.misses = 0

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        """As an engine does it; a stand-in without pixels where this view of the picture has been prepared before."""
        prepared = self.replica.outline(picture.sha256, max_tok)
        if prepared is None:
            prepared = super().prepare(picture, max_tok)
            self.replica.keep_outline(max_tok, prepared)
        self.asked[prepared.view] = picture, max_tok
        return prepared

    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        """Kept encodings, and new ones from the next pass."""
        out = []
        for item in batch:
            key = (item.picture_hash, self.replica.fingerprint, item.key)
            encoding = self.replica.cache.get(key)
            self.hits, self.misses = self.hits + (encoding is not None), self.misses + (encoding is None)
            if encoding is None:
                coming = self.replica.encoding(key, self._with_pixels(item))
                encoding = asyncio.run_coroutine_threadsafe(coming, self.loop).result()
            out.append(encoding)
        return out

    def _with_pixels(self, item: Prepared) -> Prepared:
        """The same view with its pixels, where a stand-in was given for it and its encoding is not kept any more."""
        if item.patches.shape[1]:
            return item
        prepared = super().prepare(*self.asked[item.view.partition("|")[0]])
        if item.cells is not None:
            prepared = prepared.some(item.cells, "cells")
        return replace(prepared, view=item.view, received=item.received)
