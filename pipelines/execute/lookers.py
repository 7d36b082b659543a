"""The stage of the graph that looks. One row per image, exactly one row out per row in, same `number`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch

from pipelines.execute.async_reader import is_gone
from pipelines.execute.diagnosis import is_full
from pipelines.execute.encoders import Encoders, Sight
from pipelines.execute.plan import Plan
from pipelines.execute.readers import Canvases, Readers
from pipelines.runs import manifest, rows
from saccade.datasets import Dataset, Row
from saccade.episode import Flow, More, arun, episodes
from saccade.errors import EngineDead, describe
from saccade.registry import load
from saccade.seen import Put, Seen
from saccade.types import Question, Trace

Batch = dict[str, np.ndarray]  # one row: the graph's blocks hold one image each


class Look:
    """Stage: number, image_id, source, questions -> number, image_id, rows.

    Has the encoders encode what it needs, plans, scores, selects, has the readers read, integrates and scores. `rows`
    is an Arrow stream of the image's question rows (`pipelines.runs.rows.SCHEMA`). Many images are in it at once, as
    tasks of one event loop.
    """

    def __init__(self, plan: Plan) -> None:
        torch.set_num_threads(1)
        self.plan, self.encoders, self.readers = plan, Encoders(plan), Readers(plan)
        self.dataset = load("datasets", plan.dataset, Dataset)
        self.ledger = ray.get_actor(plan.ledger, plan.namespace)

    async def __call__(self, batch: Batch) -> Batch:
        image_id, source = str(batch["image_id"][0]), str(batch["source"][0])
        listed = Row(image_id, source, manifest.questions_of(str(batch["questions"][0])))
        await self.ledger.begin.remote(image_id)
        encoder = self.encoders.least_busy()
        self.encoders.open[encoder] += 1
        try:
            sight = await self.encoders.see(encoder, listed)
            by_id = await self._rows(listed, sight, encoder)
        finally:
            self.encoders.open[encoder] -= 1
        path = self.dataset.path(source)
        table = rows.table([by_id[question.id] for question in listed.questions], path)
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_stream(buffer, rows.SCHEMA) as stream:
            stream.write_table(table)
        return {
            "number": batch["number"],
            "image_id": batch["image_id"],
            "rows": _cell(buffer.getvalue().to_pybytes()),
        }

    async def _rows(self, listed: Row, sight: Sight, encoder: int) -> dict[str, dict[str, Any]]:
        """The row of each question, by its id."""
        image_id = listed.image_id
        failed = {q.id: rows.error_row(image_id, q, q.error) for q in sight.questions if q.error is not None}
        if sight.seen is None:
            return failed
        asked = [question for question in sight.questions if question.error is None]
        try:
            # Opened again, and decoded only if a strategy wants its pixels.
            seen = replace(sight.seen, picture=self.dataset.picture(listed.source, self.plan.limit_px))
            outcomes = await _Image(self, listed, encoder, seen).outcomes(asked)
            answered = rows.scored_rows(image_id, seen, asked, outcomes, self.plan.episode)
        except Exception as error:  # as in a loop in one process, this image pays for it and no other
            if is_gone(error) or is_full(error):
                raise
            answered = [rows.error_row(image_id, question, describe(error)) for question in asked]
        finally:
            self.encoders.forget(encoder, image_id)
        return failed | {row["id"]: row for row in answered}


class _Image:
    """One image while it is looked at."""

    def __init__(self, look: Look, listed: Row, encoder: int, seen: Seen) -> None:
        self.look, self.listed, self.encoder, self.seen = look, listed, encoder, seen
        self.coming: dict[Put, asyncio.Task[None]] = {}  # what was put off, asked for once

    async def outcomes(self, asked: Sequence[Question]) -> list[Trace | Exception]:
        """One outcome per asked question, in order."""
        readers, flows = self.look.readers, episodes(self.look.plan.episode, self.seen)
        number = readers.least_busy()
        canvases = Canvases(readers, number)
        readers.open[number] += len(flows)
        try:
            parts = await asyncio.gather(*(self._episode(canvases, flow, len(asked) // len(flows)) for flow in flows))
        finally:
            readers.open[number] -= len(flows)
        return [outcome for part in parts for outcome in part]

    async def _episode(self, canvases: Canvases, flow: Flow, num_questions: int) -> Sequence[Trace | Exception]:
        async with canvases.slot:
            try:
                return await arun(flow, canvases.read, self._more)
            except EngineDead:
                raise
            except Exception as error:  # a strategy failed on this image
                return [error] * num_questions

    async def _more(self, more: More) -> None:
        """Has the encoder make what was put off, once for all questions that want it."""
        if more.what not in self.coming:
            self.coming[more.what] = asyncio.ensure_future(self._encode(more.what))
        await self.coming[more.what]

    async def _encode(self, what: Put) -> None:
        deferred = await self.look.encoders.more(self.encoder, self.listed, what)
        self.seen.receive(what, deferred.encoding, deferred.seconds)


def _cell(value: Any) -> np.ndarray:
    cell = np.empty(1, dtype=object)
    cell[0] = value
    return cell
