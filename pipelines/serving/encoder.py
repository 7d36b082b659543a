"""The encoder replica: pictures to encodings, several pictures in one pass, each picture once.

Encodings are kept by picture hash, encoder fingerprint and view, the least recently used dropped when they fill
`cache_bytes`. Requests for the same view of the same picture that come while it is being encoded wait for that pass.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch

from pipelines.execute.async_encoder import Passes, Threaded, tensors
from pipelines.execute.serialization import freeze
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
"""Prepared views kept without pixels: a picture whose encoding is cached need not be decoded again."""

PREPARERS = 4
"""Threads that decode and cut pictures; each waits in its thread for the picture's encoder pass."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What an encoder returns. `seen` travels without its picture, packed by `serialization.freeze`."""

    seen: Seen
    hits: int
    misses: int
    cache_bytes: int


class Cache:
    """Least-recently-used cache of encodings, bounded by their bytes. Threads may share it."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.size_bytes = limit_bytes, 0
        self.kept: OrderedDict[Key, Encoding] = OrderedDict()
        self.lock = Lock()

    def get(self, key: Key) -> Encoding | None:
        """The encoding, or None; it becomes the most recently used."""
        with self.lock:
            encoding = self.kept.get(key)
            if encoding is not None:
                self.kept.move_to_end(key)
            return encoding

    def put(self, key: Key, encoding: Encoding) -> None:
        """Adds an encoding, unless it is larger than the whole cache."""
        with self.lock:
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
        """The start of an episode, or the error that fails this request.

        Deferred encodings cannot leave this process; the one asked for as `more` is made here.
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
        """The view of a picture as prepared earlier, without its pixels; None if it was not, or was dropped."""
        return self.outlines.get((picture_hash, max_tok))

    def keep_outline(self, max_tok: int | None, prepared: Prepared) -> None:
        """Keeps a prepared view without its pixels, and drops the oldest beyond `OUTLINES`."""
        self.outlines[prepared.picture_hash, max_tok] = replace(prepared, patches=torch.empty(len(prepared.patches), 0))
        while len(self.outlines) > OUTLINES:
            self.outlines.popitem(last=False)

    async def encoding(self, key: Key, prepared: Prepared) -> Encoding:
        """An encoding that is not cached: from the pass already under way, or from a new one."""
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
    """The encoder that `saccade.seen.see` uses for one request, in a thread; it takes cached encodings where it can."""

    def __init__(self, replica: EncoderReplica) -> None:
        super().__init__(replica.passes)
        self.replica = replica
        self.asked: dict[str, tuple[Picture, int | None]] = {}  # view -> what it was prepared from
        self.hits = self.misses = 0

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        """As an engine prepares it, or the outline without pixels if this view has been prepared before."""
        prepared = self.replica.outline(picture.sha256, max_tok)
        if prepared is None:
            prepared = super().prepare(picture, max_tok)
            self.replica.keep_outline(max_tok, prepared)
        self.asked[prepared.view] = picture, max_tok
        return prepared

    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        """The cached encodings, and new ones from the next pass."""
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
        """The view with its pixels, which an outline lacks: its encoding has left the cache."""
        if item.patches.shape[1]:
            return item
        prepared = super().prepare(*self.asked[item.view.partition("|")[0]])
        if item.cells is not None:
            prepared = prepared.some(item.cells, "cells")
        return replace(prepared, view=item.view, received=item.received)
