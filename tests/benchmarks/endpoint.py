"""What the endpoint costs: seconds of a request over those of calling the engine, same pages and questions, one run.

    python -m tests.benchmarks.endpoint [--pages 48]

Every page is new, so nothing comes from the cache of encodings; three fixations each. One request at a time: the engine
in a loop, the ASGI app in this process (what parsing, validating and answering cost), then `saccade serve` over HTTP
(what Ray Serve adds). Then 8 at once. One thread an engine everywhere. Starting is not counted. Writes
results/endpoint.json beside this file.
"""

import argparse
import base64
import io
import json
import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import torch
from PIL import Image

from pipelines.runs.provenance import provenance
from pipelines.serving.app import serving
from pipelines.serving.settings import ServeConfig
from saccade.api import Eye
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.machine import num_cpus
from tests.pipelines.serving.client import InProcess
from tests.pipelines.serving.test_ray import free_port

WARM = 2
PAGE_PX = 512
EPISODE = Episode(fixations=3, stop_at=2)
CONFIG = ServeConfig(episode=EPISODE, threads=1, max_episodes=8)


def requests(num_pages: int) -> list[tuple[bytes, str]]:
    """(PNG, question) pairs."""
    dataset = SynthDoc(page_px=PAGE_PX, num_pages=num_pages + WARM, questions_per_page=1, seed=11)
    pages = []
    for row in dataset.rows():
        assert isinstance(row, Row)
        buffer = io.BytesIO()
        Image.fromarray(dataset.sample(row).picture.rgb).save(buffer, "png")
        pages.append((buffer.getvalue(), row.questions[0].text))
    return pages


def body(data: bytes, question: str) -> dict[str, Any]:
    """A request."""
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    return {"model": CONFIG.model_name, "messages": [{"role": "user", "content": content}]}


def timed(work: Callable[[Any], Any], items: list[Any], at_once: int = 1) -> dict[str, Any]:
    """Seconds of each item, and items a second, the first few not counted."""

    def one(item: Any) -> float:
        started = time.perf_counter()
        work(item)
        return time.perf_counter() - started

    for item in items[:WARM]:
        work(item)
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        seconds = sorted(pool.map(one, items[WARM:]))
    whole = time.perf_counter() - started
    return {
        "median_s": statistics.median(seconds),
        "p95_s": seconds[int(0.95 * (len(seconds) - 1))],
        "per_s": len(seconds) / whole,
    }


def engine(pairs: list[tuple[bytes, str]]) -> dict[str, Any]:
    """`Eye.look` in a loop."""
    torch.set_num_threads(1)
    with HF().open() as opened:
        eye = Eye(opened, EPISODE)
        return timed(lambda pair: eye.look(*pair), pairs)


def in_process(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """The ASGI app, without Ray and without a socket."""
    endpoint = InProcess(CONFIG)
    try:
        return timed(lambda payload: endpoint.post(payload).raise_for_status(), bodies)
    finally:
        endpoint.close()


def over_http(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """`saccade serve`; pages are new at each concurrency because each has a server of its own."""
    timings = {}
    for at_once in (1, 8):
        port, local = free_port(), threading.local()
        with serving(CONFIG, "127.0.0.1", port):

            def post(payload: dict[str, Any], port: int = port, local: Any = local) -> None:
                if not hasattr(local, "client"):
                    local.client = httpx2.Client(timeout=120)
                local.client.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=payload).raise_for_status()

            timings[str(at_once)] = timed(post, bodies, at_once)
    return timings


def main() -> None:
    """Measures, prints, writes the results file."""
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would measure what else the machine does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=48)
    pairs = requests(parser.parse_args().pages)
    bodies = [body(*pair) for pair in pairs]
    before, inside, served, after = engine(pairs), in_process(bodies), over_http(bodies), engine(pairs)
    alone = (before["median_s"] + after["median_s"]) / 2
    result = {
        "requests": len(pairs) - WARM,
        "page_px": PAGE_PX,
        "fixations": EPISODE.fixations,
        "engine": [before, after],
        "in_process": inside,
        "served_by_concurrency": served,
        "added_s": {"in_process": inside["median_s"] - alone, "served": served["1"]["median_s"] - alone},
        "throughput_of_engine_loop": {n: timing["per_s"] * alone for n, timing in served.items()},
        "cores": num_cpus(),
        "load": os.getloadavg(),
        **provenance(),
    }
    path = Path(__file__).parent / "results" / "endpoint.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
