"""The stages of the graph that hold resources. One row an image, exactly one row out per row in, same `number`."""

import asyncio
import io
import json
import os
import pickle
import socket
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch

from pipelines.execute.plan import Plan, survived
from pipelines.execute.readers import Readers
from pipelines.execute.wire import Packed, freeze, thaw
from pipelines.runs import manifest, rows
from saccade.datasets import Dataset, Row
from saccade.engines import ForwardingEncoder
from saccade.episode import Ask, Outcome, Seen, arun, episodes, see
from saccade.errors import EngineDead, describe
from saccade.families import Prepared
from saccade.picture import Picture
from saccade.registry import load
from saccade.types import Answer, Encoding, Question, Trace

Flow = Generator[Ask, Answer, list[Outcome]]
Batch = dict[str, np.ndarray]  # one row: the graph's blocks hold one image each
TENSORS = {"tokens": 2, "features": 3, "received": 1, "deepstack": 3}
"""Columns that are tensors of an encoding, with their number of dimensions."""


class Encode:
    """Stage: number, image_id, source, questions -> number, image_id, source, questions, tokens, features, received,
    deepstack, rest.

    `questions` comes out with answer boxes in uv, and with an `error` where a question cannot be answered. `tokens`
    (N, D), `features` (N, M, F), `received` (N,) and `deepstack` (N, L, D) are of the encoding, with those of the
    glimpse behind them; N is 0 where a family has none. `rest` is the rest of a `Seen`, pickled; empty when there is
    nothing to ask, and then nothing was encoded either.
    """

    def __init__(self, plan: Plan) -> None:
        torch.set_num_threads(plan.threads)
        self.plan, self.stack = plan, ExitStack()
        self.dataset = load("datasets", plan.dataset, Dataset)
        self.engine = self.stack.enter_context(plan.engine.open_encoder())
        self.ledger = ray.get_actor(plan.ledger, plan.namespace)
        passes = plan.layout.passes(plan.attempt, f"{socket.gethostname()}-{os.getpid()}")
        self.passes = self.stack.enter_context(passes.open("a", buffering=1))

    def __del__(self) -> None:  # Ray Data ends the stages of a pool by deleting them
        self.stack.close()

    def __call__(self, batch: Batch) -> Batch:
        image_id = str(batch["image_id"][0])
        ray.get(self.ledger.begin.remote(image_id))
        listed = Row(image_id, str(batch["source"][0]), manifest.questions_of(str(batch["questions"][0])))
        questions, seen = self._see(listed)
        return {**batch, "questions": _cell(manifest.text_of(questions)), **pack(seen)}

    def _see(self, listed: Row) -> tuple[Sequence[Question], Seen | None]:
        questions = listed.questions
        try:
            sample = self.dataset.sample(listed, self.plan.limit_px)
            questions = sample.questions
            asked = [question for question in questions if question.error is None]
            if not asked:
                return questions, None
            return questions, see(self.plan.episode, _Counted(self, listed.image_id), sample.picture, asked)
        except Exception as error:
            text = describe(survived(error, self.plan))
            return [replace(question, error=question.error or text) for question in questions], None


class _Counted(ForwardingEncoder):
    """The encoder, writing one line before its first pass over an image: passes of a killed run count as well."""

    def __init__(self, stage: Encode, image_id: str) -> None:
        super().__init__(stage.engine)
        self.passes: io.TextIOBase = stage.passes
        self.line = json.dumps(image_id) + "\n"

    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        self.passes.write(self.line)
        self.line = ""
        return super().encode(batch)


class Look:
    """Stage: number, image_id, source, questions, `TENSORS`, rest -> number, image_id, rows.

    Plans, scores, selects, has the readers read, integrates and scores. `rows` is an Arrow stream of the image's
    question rows (`pipelines.runs.rows.SCHEMA`). Many images are in it at once, as tasks of one event loop.
    """

    def __init__(self, plan: Plan) -> None:
        torch.set_num_threads(1)
        self.plan, self.readers = plan, Readers(plan)
        self.dataset = load("datasets", plan.dataset, Dataset)

    async def __call__(self, batch: Batch) -> Batch:
        image_id = str(batch["image_id"][0])
        questions = manifest.questions_of(str(batch["questions"][0]))
        found = {q.id: rows.error_row(image_id, q, q.error) for q in questions if q.error is not None}
        if batch["rest"][0]:
            picture = self.dataset.picture(str(batch["source"][0]), self.plan.limit_px)
            seen = unpack(batch, picture)
            asked = [question for question in questions if question.error is None]
            flows = episodes(self.plan.episode, seen)
            outcomes = await self._outcomes(flows, len(asked) // len(flows))
            made = rows.scored_rows(image_id, seen, asked, outcomes, self.plan.episode)
            found |= {row["id"]: row for row in made}
        table = pa.Table.from_pylist([found[question.id] for question in questions], rows.SCHEMA)
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_stream(buffer, rows.SCHEMA) as stream:
            stream.write_table(table)
        return {
            "number": batch["number"],
            "image_id": batch["image_id"],
            "rows": _cell(buffer.getvalue().to_pybytes()),
        }

    async def _outcomes(self, flows: Sequence[Flow], num_questions: int) -> list[Trace | Exception]:
        """One outcome per asked question, in order; each flow is about `num_questions` of them."""
        number = self.readers.least_busy()
        self.readers.open[number] += len(flows)
        try:
            parts = await asyncio.gather(*(self._episode(number, flow, num_questions) for flow in flows))
        finally:
            self.readers.open[number] -= len(flows)
        return [outcome for part in parts for outcome in part]

    async def _episode(self, number: int, flow: Flow, num_questions: int) -> Sequence[Trace | Exception]:
        async with self.readers.slots[number]:
            try:
                return await arun(flow, lambda ask: self.readers.read(number, ask.canvas, ask.question, ask.choices))
            except EngineDead:
                raise
            except Exception as error:  # a strategy failed on this image
                return [error] * num_questions


def pack(seen: Seen | None) -> Batch:
    """The columns of an encoded image; empty ones for an image that was not encoded."""
    encodings = [] if seen is None else [seen.encoding] if seen.glimpse is None else [seen.encoding, seen.glimpse]
    columns, bfloat16 = {}, []
    for name, ndim in TENSORS.items():
        tensors = [tensor for encoding in encodings if (tensor := getattr(encoding, name)) is not None]
        packed = Packed.of(torch.cat(tensors) if tensors else torch.empty((0,) * ndim))
        columns[name] = packed.array[np.newaxis]
        bfloat16 += [name] * packed.bfloat16
    if seen is None:
        return {**columns, "rest": _cell(b"")}
    none = torch.empty(0)
    bare = [replace(encoding, tokens=none, features=none, received=none, deepstack=None) for encoding in encodings]
    kept = replace(seen, picture=None, whole=bare[0], glimpse=bare[1] if len(bare) > 1 else None)  # type: ignore[arg-type]
    return {**columns, "rest": _cell(pickle.dumps((freeze(kept), bfloat16)))}


def unpack(batch: Batch, picture: Picture) -> Seen:
    """What `pack` was given, with its picture, which another process opens again if a strategy wants its pixels."""
    frozen, bfloat16 = pickle.loads(batch["rest"][0])
    seen: Seen = thaw(frozen)
    encodings = [seen.encoding] if seen.glimpse is None else [seen.encoding, seen.glimpse]
    counts = [len(encoding.grid) for encoding in encodings]
    whole: dict[str, Any] = {
        name: torch.split(Packed(batch[name][0], name in bfloat16).tensor(), counts)
        for name in TENSORS
        if len(batch[name][0])
    }
    filled = [
        replace(encoding, **{name: parts[i] for name, parts in whole.items()}) for i, encoding in enumerate(encodings)
    ]
    return replace(seen, picture=picture, whole=filled[0], glimpse=filled[1] if len(filled) > 1 else None)


def _cell(value: Any) -> np.ndarray:
    cell = np.empty(1, dtype=object)
    cell[0] = value
    return cell
