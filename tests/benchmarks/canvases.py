"""What the growing canvas saves in vLLM: prompt tokens computed and questions a second, same engine, images and run.

    python -m tests.benchmarks.canvases

Episodes go on side by side, `IN_FLIGHT` at a time, image after image, so that vLLM batches them; before each way the
engine forgets what it has read. One question an image: every token, the page resized, three fixations read apart and
then together (what one does without a growing canvas), the growing canvas. Eight questions an image: every token (the
questions share them in the prefix cache), private canvases, one shared canvas. The encoder's passes stand beside; its
time is not counted. Writes results/canvases.json beside this file.

With all questions in flight at once the way that shares most loses most: vLLM 0.32 looks a prompt up in its prefix
cache once, when its first tokens are scheduled, and they are while the image still waits for room in the encoder cache.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.vllm import VLLM, VLLMEngine
from saccade.episode import Seen, arun, episodes, see
from saccade.types import Answer, Canvas, Part, Selection, Trace

IMAGES, QUESTIONS, PAGE_PX = 10, 8, 1024
IN_FLIGHT = 8  # episodes
TOKENS, LOOKS = 273, 3
EPISODE = Episode(fixations=LOOKS, budget={"name": "fixed", "tokens": TOKENS}, stop_at=2)
ONE = {
    "full": EPISODE.with_settings(sampler="full"),
    "resize@273": EPISODE.with_settings(sampler="resize", fixations=1),
    "growing canvas": EPISODE,
}
MANY = {
    "full, prefix cache": EPISODE.with_settings(sampler="full"),
    "private canvases": EPISODE,
    "one shared canvas": EPISODE.with_settings(canvas="shared"),
}
Read = Callable[[Canvas, str], Awaitable[Answer]]


async def looked(all_seen: Sequence[Seen], settings: Episode, read: Read) -> list[Trace]:
    """Every question of every image."""
    room = asyncio.Semaphore(IN_FLIGHT)

    async def one(flow: Any) -> list[Any]:
        async with room:
            return await arun(flow, lambda ask: read(ask.canvas, ask.question))

    flows = [flow for seen in all_seen for flow in episodes(settings, seen)]
    outcomes = [outcome for part in await asyncio.gather(*map(one, flows)) for outcome in part]
    assert all(isinstance(outcome, Trace) for outcome in outcomes), outcomes
    return outcomes  # type: ignore[return-value]


async def apart(all_seen: Sequence[Seen], traces: Sequence[Trace], read: Read) -> list[list[Answer]]:
    """The same fixations without a growing canvas: each read alone, then all their tokens again as one prompt."""

    room = asyncio.Semaphore(IN_FLIGHT)

    async def one(seen: Seen, trace: Trace) -> list[Answer]:
        empty = Canvas(seen.encoding.grid.rows, seen.encoding.grid.cols)
        together = Selection.keep(trace.shown.nonzero().flatten(), len(seen.encoding))
        async with room:
            return [
                await read(empty.add(Part.of(seen.encoding, pick)), trace.question)
                for pick in (*(step.selection for step in trace.steps), together)
            ]

    return await asyncio.gather(*(one(seen, trace) for seen, trace in zip(all_seen, traces, strict=True)))


def line(prefill: float, cached: float, questions: int, seconds: float, passes: float) -> dict[str, float]:
    """One row of the table, of sums over all questions."""
    return {
        "prefill_tok": prefill / questions,
        "cached_share": cached / (cached + prefill),
        "questions_per_s": questions / seconds,
        "encoder_passes": passes,
    }


def measure(engine: VLLMEngine, samples: Sequence[Any], ways: dict[str, Episode], questions: int) -> dict[str, Any]:
    """Each way on the first `questions` questions of every image."""
    table: dict[str, Any] = {}
    for name, settings in ways.items():
        all_seen = [see(settings, engine, sample.picture, sample.questions[:questions]) for sample in samples]
        engine.forget()
        started = time.perf_counter()
        traces = asyncio.run(looked(all_seen, settings, engine.aread))
        seconds = time.perf_counter() - started
        passes = sum(trace.cost.encoder_passes for trace in traces) / len(samples)
        prefill, cached = (sum(getattr(t.cost, key) for t in traces) for key in ("prefill_tok", "cached_tok"))
        table[name] = line(prefill, cached, len(traces), seconds, passes)
        if name == "growing canvas":
            engine.forget()
            started = time.perf_counter()
            answers = [a for each in asyncio.run(apart(all_seen, traces, engine.aread)) for a in each]
            seconds = time.perf_counter() - started
            prefill, cached = (sum(getattr(a, key) for a in answers) for key in ("prefill_tok", "cached_tok"))
            table["3 fixations apart, then together"] = line(prefill, cached, len(traces), seconds, passes)
    return table


def main() -> None:
    """Measures, prints, writes the results file."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    dataset = SynthDoc(page_px=PAGE_PX, num_pages=IMAGES, questions_per_page=QUESTIONS, seed=3)
    samples = [dataset.sample(row) for row in dataset.rows() if isinstance(row, Row)]
    samples = [sample for sample in samples if len(sample.questions) == QUESTIONS]
    with VLLM(max_num_batched_tok=4096).open() as engine:
        measure(engine, samples[:1], ONE, 1)  # warm
        tables = {"1": measure(engine, samples, ONE, 1), str(QUESTIONS): measure(engine, samples, MANY, QUESTIONS)}
    result = {"images": len(samples), "page_px": PAGE_PX, "questions_per_image": tables, **provenance()}
    path = Path(__file__).parent / "results" / "canvases.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    for number, rows in tables.items():
        shown = Table("way", "prefill tok/question", "cached", "questions/s", "encoder", title=f"{number} an image")
        for name, row in rows.items():
            cells = (f"{row['prefill_tok']:.0f}", f"{row['cached_share']:.0%}", f"{row['questions_per_s']:.2f}")
            shown.add_row(name, *cells, f"{row['encoder_passes']:.2f}")
        Console().print(shown)


if __name__ == "__main__":
    main()
